"""What to learn, and by which route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from relucli.errors import UsageError
from relucli.learning.subspace import Method, Whitening

__all__ = ["Discovery", "LearnOptions", "LossName"]

Discovery = Literal["auto", "overcomplete", "iterative"]
LossName = Literal["squared", "huber"]


@dataclass(frozen=True)
class LearnOptions:
    """What to learn, and how.

    Attributes
    ----------
    neurons : int, optional
        k; None lets validation choose, up to ``most``.
    most : int
        Largest k that is tried when it is not given.
    bias : bool
        Whether neurons have biases, and the function an offset.
    subspace : {"sliced", "contracted", "both"}
        Moments that find the span.
    discovery : {"auto", "overcomplete", "iterative"}
        Route to the neurons; auto is overcomplete.
    whiten : {"auto", "on", "off"}
        Whether to whiten the inputs for the moments.
    starts : int
        Random starts of the discovery, and up to four times as many until the best is found twice.
    seed : int
    loss : {"squared", "huber"}
        What a residual costs; huber stands heavy tails and a few percent of grossly wrong labels.

    Raises
    ------
    UsageError
        If one of them cannot be meant.
    """

    neurons: int | None = None
    most: int = 12
    bias: bool = False
    subspace: Method = "sliced"
    discovery: Discovery = "auto"
    whiten: Whitening = "auto"
    starts: int = 2
    seed: int = 0
    loss: LossName = "squared"

    def __post_init__(self) -> None:
        choices = {
            "subspace": ("sliced", "contracted", "both"),
            "discovery": ("auto", "overcomplete", "iterative"),
            "whiten": ("auto", "on", "off"),
            "loss": ("squared", "huber"),
        }
        for name, words in choices.items():
            if getattr(self, name) not in words:
                raise UsageError(f"--{name} must be one of {', '.join(words)}, not {getattr(self, name)}")
        if not isinstance(self.bias, bool | np.bool_):
            raise UsageError(f"--bias must be True or False, not {self.bias!r}")
        counts = {"-k": self.neurons, "--max-neurons": self.most, "--starts": self.starts, "--seed": self.seed}
        for option, count in counts.items():
            if count is not None and (isinstance(count, bool) or not isinstance(count, int | np.integer)):
                raise UsageError(f"{option} {count!r}: not a whole number")
        if self.neurons is not None and self.neurons < 1:
            raise UsageError(f"-k {self.neurons}: there must be at least one neuron")
        for option, count in (("--max-neurons", self.most), ("--starts", self.starts)):
            if count < 1:
                raise UsageError(f"{option} must be at least 1, not {count}")
        if not 0 <= self.seed < 2**64:
            raise UsageError(f"--seed must be from 0 to 2^64 - 1, not {self.seed}")
