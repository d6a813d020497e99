"""What to learn, and by which route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
        Random starts of the discovery.
    seed : int
    loss : {"squared", "huber"}
        What a residual costs; huber stands heavy tails and a few percent of grossly wrong labels.
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
