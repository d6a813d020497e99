"""The figures of a report, each a function of what was gathered."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import UsageError
from relucli.report import panels
from relucli.report.material import Material
from relucli.report.style import Painter

__all__ = ["FIGURES", "Figure", "figure"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Attributes
    ----------
    title : str
    caption : str
        How to read it.
    needs : str
        What must be given for it.
    there : callable
        Whether the material holds what it takes.
    height : callable
        Inches, of the material.
    paint : callable
        Draws the material on a figure of matplotlib.
    """

    title: str
    caption: str
    needs: str
    there: Callable[[Material], bool]
    height: Callable[[Material], float]
    paint: Callable[[Any, Material], None]

    def painter(self, material: Material) -> Painter:
        """Draws this figure of a material."""
        return lambda canvas: self.paint(canvas, material)


def figure(name: str, material: Material) -> Figure:
    """A figure by its name, of a material that has what it takes.

    Raises
    ------
    UsageError
        If something is missing for it.
    """
    if not FIGURES[name].there(material):
        raise UsageError(f"figure {name} needs {FIGURES[name].needs}")
    return FIGURES[name]


def _rows(count: int, across: int, each: float, rest: float) -> float:
    return rest + each * math.ceil(count / across)


FIGURES = {
    "eigenvalues": Figure(
        "Directions that the labels depend on",
        "Eigenvalues of the stacked moments, in units of the variance that noise gives an entry, against the largest "
        "that labels independent of the inputs would give (dashed). Those above it, filled, are directions of the "
        "span; bars, where drawn, are 95 % bands by the block jackknife.",
        "a network file made by relucli learn, or --moments M.h5",
        lambda m: m.eigenvalues is not None,
        lambda m: 2.7,
        panels.eigenvalues,
    ),
    "path": Figure(
        "Models considered",
        "Mean squared error on held-out rows, with its standard error, for each number of neurons. The chosen model "
        "is the filled diamond; hollow circles were fitted on the span only. Dashed: the residual variance of the fit.",
        "a network file made by relucli learn",
        lambda m: bool(len(m.file.path.get("neurons", ()))),
        lambda m: 2.7,
        panels.path,
    ),
    "neurons": Figure(
        "Weights of the neurons",
        "Each row is a neuron of unit length, each bar the weight of an input. Blue is positive, orange negative.",
        "a network with neurons",
        lambda m: m.network.neurons > 0,
        lambda m: _rows(len(panels.shown(m)), 1, 0.72, 1.7 if m.network.columns else 0.55),
        panels.neurons,
    ),
    "angles": Figure(
        "Angles between neurons",
        "Degrees between the lines of two neurons, from 0 (one line) to 90. Close pairs, which are hard to tell "
        "apart, are dark.",
        "a network with two neurons or more",
        lambda m: m.network.neurons > 1,
        lambda m: 3.9,
        panels.angles,
    ),
    "predicted": Figure(
        "Predicted against true",
        "Rows in each cell, on a logarithmic scale. A good fit lies along the dashed diagonal; the width about it is "
        "noise.",
        "--data DATA.h5",
        lambda m: m.rows is not None,
        lambda m: 3.4,
        panels.predicted,
    ),
    "residuals": Figure(
        "Residuals along each neuron",
        "For each neuron, the mean of y less all other parts of the network, in bins of the neuron's own input "
        "⟨w, x⟩ (dots, bars of two standard errors), and the ReLU that was fitted (line), with its kink (dotted). "
        "Dots off the line show what the network has wrong.",
        "--data DATA.h5, and a network with neurons",
        lambda m: m.rows is not None and m.network.neurons > 0,
        lambda m: _rows(len(panels.shown(m)), 2, 1.75, 0.3),
        panels.residuals,
    ),
    "errors": Figure(
        "How well each neuron is known",
        "Coefficients less their estimate with 95 % intervals, and the angle that 95 % of estimates of a direction "
        "stay within. Diamonds are the planted values, where a teacher is given.",
        "a network file with standard errors, made by relucli learn",
        lambda m: "coefficient_errors" in m.file.errors and m.network.neurons > 0,
        lambda m: 1.1 + 0.2 * len(panels.shown(m)),
        panels.errors,
    ),
    "coverage": Figure(
        "Do the standard errors hold?",
        "Every error that was made, as a multiple of its 95 % limit: about one in twenty should lie beyond the dashed "
        "line at 1, and few far beyond it.",
        "--teacher T.h5, and a network file with standard errors",
        lambda m: bool(panels.coverage_ratios(m)),
        lambda m: 2.2,
        panels.coverage,
    ),
    "summary": Figure(
        "Sufficient summary plots",
        "Labels against the first directions of the span, which hold all that the labels depend on: rows in each "
        "cell, and the mean label along the direction (line).",
        "--data DATA.h5",
        lambda m: m.rows is not None and m.directions.shape[1] > 0,
        lambda m: 0.3 + 2.2 * m.directions.shape[1],
        panels.summary,
    ),
    "dimension": Figure(
        "Tests of the dimension",
        "For each dimension, the p-value of the permutation test that the span has no more than that; the first "
        "above the dashed level is the answer.",
        "--dimension DIM.json, from relucli dimension --json",
        lambda m: bool(m.dimension.get("tests")),
        lambda m: 2.4,
        panels.dimension,
    ),
}
