"""What might be wrong with an answer, and which stage saw it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.learning.homogeneous import BEYOND_REACH, sigmas_out_of_reach
from relucli.learning.loss import Loss
from relucli.learning.polish import Polished
from relucli.learning.sketch import sketched, slice_settings
from relucli.learning.subspace import Subspace, dependence
from relucli.learning.uncertainty import StandardErrors
from relucli.moments.estimate import Moments, estimate_moments
from relucli.network import ReluNetwork
from relucli.quantities import counted
from relucli.storage.views import RelabelledRows, part
from relucli.streaming.accumulator import Accumulator, Block, Gathered
from relucli.streaming.fold import Engine, Rows

__all__ = ["Finding", "diagnose"]

Array = NDArray[np.float64]

RESIDUAL_SLICES = 8
KURTOSIS_ROWS = 20_000
KURTOSIS_COLUMNS = 512
SUSPICIOUS = 6.0
"""Standard deviations of chance from which on a statistic is taken for a sign of something."""

HEAVY = 2.0
SCARCE = 5.0
DOUBTFUL = 3.0


@dataclass(frozen=True)
class Finding:
    """What a stage saw.

    Attributes
    ----------
    stage : {"inputs", "span", "residual", "identifiability"}
    ok : bool
        Whether it is as it should be.
    message : str
        For people.
    numbers : dict
        What the message rests on.
    """

    stage: str
    ok: bool
    message: str
    numbers: dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """As one line: !! marks what is not as it should be."""
        return f"{'ok' if self.ok else '!!'} {self.stage}: {self.message}"


def diagnose(
    rows: Rows,
    moments: Moments,
    span: Subspace,
    fit: Polished,
    network: ReluNetwork,
    errors: StandardErrors,
    loss: Loss,
    engine: Engine,
) -> tuple[Finding, ...]:
    """Look for signs of trouble in every stage.

    Parameters
    ----------
    rows : Rows
        A pilot of the data.
    moments : Moments
    span : Subspace
    fit : Polished
        Of all rows.
    network : ReluNetwork
        What was fitted.
    errors : StandardErrors
    loss : Loss
        What it was fitted by.
    engine : Engine
        Runs the passes over the pilot.
    """
    found = [_inputs(rows, network, moments, engine), _span(span, network)]
    if not fit.quadratic.exact:
        found += _residual(rows, network, loss, moments, span, engine)
    found += _identifiability(fit, network, errors)
    return tuple(found)


class _Powers(Accumulator):
    """Sums of the powers 0 to 4 of inputs less their mean, and of their projections to the neurons, (5, columns).

    Of every input or, if there are many, of a choice of them.
    """

    def __init__(self, mean: Array, weights: Array) -> None:
        self.mean, self.weights = mean, weights
        self.columns = np.unique(np.linspace(0, len(mean) - 1, KURTOSIS_COLUMNS).astype(np.intp))
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of the sums."""
        return {"powers": (5, len(self.columns) + len(self.weights))}

    def scratch(self, rows: int) -> int:
        """Bytes of the centred inputs and of the powers."""
        return 8 * rows * (len(self.mean) + 2 * self.shapes()["powers"][1])

    def update(self, block: Block) -> None:
        """Add a block."""
        x = block.x - self.mean
        z = np.column_stack([x[:, self.columns], x @ self.weights.T])
        squares = z * z
        cubes, fourths = (np.einsum("ni,ni->i", squares, power) for power in (z, squares))
        self.sums["powers"] += [np.full(z.shape[1], len(z)), z.sum(axis=0), squares.sum(axis=0), cubes, fourths]

    @property
    def kurtosis(self) -> Array:
        """Fourth cumulant over squared variance of each; 0 +- sqrt(24 / n) if it is Gaussian, 0 if constant."""
        _, m, second, third, fourth = self.sums["powers"] / self.sums["powers"][0]
        variance = second - m * m
        central = fourth - 4 * m * third + 6 * m * m * second - 3 * m**4
        varies = variance > 1e-12 * second
        return np.where(varies, central / np.where(varies, variance, 1.0) ** 2 - 3, 0.0)


def _excess_kurtosis(residual: Array) -> float:
    """Fourth cumulant over squared variance."""
    centered = residual - residual.mean()
    variance = float((centered**2).mean())
    return float(((centered / math.sqrt(variance)) ** 4).mean()) - 3 if variance > 0 else 0.0


def _inputs(rows: Rows, network: ReluNetwork, moments: Moments, engine: Engine) -> Finding:
    """Kurtosis of the inputs and along every neuron."""
    few = part(rows, max(1, rows.samples // KURTOSIS_ROWS), True) or rows
    kurtosis, standard = engine.fold(_Powers(moments.mean, network.weights), few, "check").kurtosis, moments.standard
    worst, noise = float(kurtosis[np.argmax(np.abs(kurtosis))]), math.sqrt(24 / few.samples)
    numbers = {"standard": standard, "kurtosis": worst, "kurtosis_noise": noise}
    if abs(worst) <= SUSPICIOUS * noise:
        words = "standard normal" if standard else "Gaussian, but not standard: whitened"
        return Finding("inputs", True, f"{words} as far as their kurtosis tells", numbers)
    text = f"not Gaussian: excess kurtosis {worst:.2g} +- {noise:.1g}; the span may be missed, the fit is not affected"
    return Finding("inputs", False, text, numbers)


def _span(span: Subspace, network: ReluNetwork) -> Finding:
    """Eigenvalues against those of noise."""
    if span.method == "given":
        return Finding(
            "span", True, f"{counted(span.significant, 'direction')}, as given", {"significant": span.significant}
        )
    shown = ", ".join(f"{value:.3g}" for value in span.eigenvalues[: max(1, span.significant)][:8])
    numbers = {
        "eigenvalues": span.eigenvalues[: span.significant + 3],
        "null": span.null,
        "significant": span.significant,
    }
    if span.significant == 0 and network.neurons:
        text = f"no direction stands out: largest eigenvalue {shown}, noise reaches {span.null:.3g}"
        return Finding("span", False, text, numbers)
    noise = f"noise reaches {span.null:.3g}"
    text = f"{counted(span.significant, 'eigenvalue')} above noise: {shown}; {noise}" if span.significant else noise
    return Finding("span", True, text, numbers)


def _left(network: ReluNetwork, block: Block) -> Array:
    return block.y - network(block.x)


def _unexplained(
    rows: Rows, network: ReluNetwork, loss: Loss, span: Subspace, engine: Engine, numbers: dict[str, Any]
) -> Finding:
    """Why a residual may depend on the inputs: neurons have biases, or are missing."""
    judged = not (loss.robust or network.biases.any() or network.offset)
    beyond = sigmas_out_of_reach(rows, network, span.basis, engine) if judged else None
    if beyond is not None and beyond > BEYOND_REACH:
        text = f"no network without biases gives such labels ({beyond:.0f} sigma): they look offset, or kinked off zero"
        return Finding("residual", False, f"{text}; pass --bias", numbers | {"beyond": beyond})
    text = f"still depends on the inputs ({numbers['mean_z']:.0f} sigma): neurons may be missing; try a larger -k"
    return Finding("residual", False, text if network.offset else f"{text}, or --bias", numbers)


def _residual(
    rows: Rows, network: ReluNetwork, loss: Loss, moments: Moments, span: Subspace, engine: Engine
) -> list[Finding]:
    """Whether mean or spread of the residual depends on the inputs, and how heavy its tails are."""
    residual = engine.fold(Gathered(partial(_left, network), 1), rows, "check").values[:, 0]
    left, seed = RelabelledRows(rows, residual), moments.settings.seed
    settings = slice_settings(rows.dim, RESIDUAL_SLICES, "auto" if span.whitened else "off", seed)
    taken = estimate_moments(left, settings, engine)
    mean, spread = dependence(taken, span.whitened, sketched(left, taken, seed, engine))
    kurtosis = _excess_kurtosis(residual)
    numbers = {"mean_z": mean, "spread_z": spread, "kurtosis": kurtosis}
    found = []
    if mean > SUSPICIOUS:
        found.append(_unexplained(rows, network, loss, span, engine, numbers))
    else:
        found.append(Finding("residual", True, f"shows no neuron left out ({mean:.1f} sigma)", numbers))
    if spread > SUSPICIOUS:
        text = f"its spread depends on the inputs ({spread:.0f} sigma); the standard errors allow for that"
        found.append(Finding("residual", True, text))
    if kurtosis > HEAVY and not loss.robust:
        text = f"heavy-tailed (excess kurtosis {kurtosis:.2g}); try --loss huber"
        found.append(Finding("residual", False, text))
    return found


def _identifiability(fit: Polished, network: ReluNetwork, errors: StandardErrors) -> list[Finding]:
    """Neurons that the data hardly tell apart, or from nothing, and functions that have several networks."""
    found = []
    per = fit.quadratic.samples / max(1, fit.student.parameters)
    if per < SCARCE and not fit.quadratic.exact:
        found.append(Finding("identifiability", False, f"only {per:.1f} rows a parameter"))
    lines = np.column_stack([network.weights, network.biases])
    for i, j in combinations(range(network.neurons), 2):
        apart = min(np.linalg.norm(lines[i] - lines[j]), np.linalg.norm(lines[i] + lines[j]))
        blur = math.hypot(errors.within[i], errors.within[j], 2 * errors.biases[i], 2 * errors.biases[j])
        if apart < blur or (i, j) in fit.blurred:
            known = f"known to {blur:.2g}" if apart < blur else "which noise blurs"
            text = f"neurons {i} and {j} are {apart:.2g} apart, {known}: only their sum is sure"
            found.append(Finding("identifiability", False, text, {"neurons": [i, j]}))
    doubtful = np.flatnonzero(np.abs(network.coefficients) < DOUBTFUL * errors.coefficients)
    for i in np.setdiff1d(doubtful, fit.blurred):
        text = f"neuron {i} has a coefficient within three standard errors of zero"
        found.append(Finding("identifiability", False, text, {"neurons": [int(i)]}))
    if network.linear.any() and network.neurons:
        text = "a linear part: each neuron may as well point the other way (antipodal pairs are one kink and a line)"
        found.append(Finding("identifiability", True, text))
    if not found:
        found.append(Finding("identifiability", True, f"every neuron stands on its own; {per:.0f} rows a parameter"))
    return found
