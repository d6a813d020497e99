"""Drawing: each function puts a material on a figure of matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.extras import extra
from relucli.network.display import input_name
from relucli.report.material import Material
from relucli.report.style import COLOURS, shades

__all__ = [
    "angles",
    "coverage",
    "coverage_ratios",
    "dimension",
    "eigenvalues",
    "errors",
    "line_angles",
    "neurons",
    "path",
    "predicted",
    "residuals",
    "shown",
    "summary",
]

Array = NDArray[np.float64]

MOST_NEURONS = 8
MOST_INPUTS = 24
MOST_EIGENVALUES = 20
MOST_NAMED = 9
WITHIN = 1.96
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
INK, QUIET, MAIN, WARM, COOL = (COLOURS[name] for name in ("ink", "quiet", "main", "warm", "cool"))


def shown(material: Material) -> NDArray[np.intp]:
    """The neurons that figures of one panel a neuron show: those with the largest coefficients, in order."""
    largest = np.argsort(-np.abs(material.network.coefficients), kind="stable")[:MOST_NEURONS]
    return np.sort(largest)


def line_angles(weights: Array) -> Array:
    """Degrees between the lines of unit vectors, (k, k), at most 90; exact for small ones."""
    minus = np.linalg.norm(weights[:, None] - weights, axis=2)
    plus = np.linalg.norm(weights[:, None] + weights, axis=2)
    found: Array = np.degrees(2 * np.arctan2(np.minimum(minus, plus), np.maximum(minus, plus)))
    return found


def _logarithmic(axis: Any, most: int = 10) -> None:
    """Powers of ten as plain text; of a short axis also numbers between them, evenly spaced where it is very short."""
    axis.axes.autoscale_view()
    low, high = axis.get_view_interval()
    ticker = extra("matplotlib.ticker", "report")
    steps = (1.0,) if high > 30 * low else (1.0, 2.0, 5.0) if high > 5 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    axis.set_major_locator(ticker.LogLocator(subs=steps, numticks=most))
    if high < 2 * low:
        axis.set_major_locator(ticker.MaxNLocator(most // 2))
        axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(lambda value, _: _power(value))
    axis.set_minor_formatter(lambda value, _: "")


def _power(value: float) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    if -4 < exponent < 4:
        return f"{value:g}"
    return f"{value / 10**exponent:.2g}·10".removeprefix("1·") + str(exponent).translate(SUPERSCRIPTS)


def eigenvalues(canvas: Any, material: Material) -> None:
    """Eigenvalues in order against their null, with bands if there are."""
    known = material.eigenvalues
    assert known is not None
    values, axes = known.values[:MOST_EIGENVALUES], canvas.subplots()
    at = np.arange(1, len(values) + 1)
    if known.low is not None and known.high is not None:
        floor = values.min() / 3  # a band that reaches zero ends at the edge of the logarithmic axis
        low, high = np.maximum(known.low[: len(at)], floor), known.high[: len(at)]
        axes.vlines(at, low, high, color=MAIN, alpha=0.5, linewidth=2.5, label="95 % band")
    above = values > known.null
    axes.plot(at[above], values[above], "o", color=MAIN, label="above noise")
    axes.plot(at[~above], values[~above], "o", markerfacecolor="none", color=QUIET, label="within noise")
    axes.axhline(known.null, color=WARM, linestyle="--", linewidth=1, label="noise reaches")
    axes.set(yscale="log", xlabel="direction, by size", ylabel="eigenvalue, noise units")
    axes.xaxis.get_major_locator().set_params(integer=True)
    _logarithmic(axes.yaxis)
    axes.legend()


def path(canvas: Any, material: Material) -> None:
    """Validation errors of the models considered."""
    table, axes = material.file.path, canvas.subplots()
    count, mse = table["neurons"], table["validation_mse"]
    se = table.get("validation_se", np.full(len(mse), np.nan))
    polished = table.get("polished", np.ones(len(mse))).astype(bool)
    chosen = count == material.network.neurons
    axes.errorbar(count, mse, yerr=np.nan_to_num(se), color=QUIET, fmt="-", linewidth=1, elinewidth=1.5, capsize=2)
    for which, marker, colour, face, name in (
        (polished & ~chosen, "o", QUIET, QUIET, "fitted in all dimensions"),
        (~polished & ~chosen, "o", QUIET, "none", "on the span only"),
        (chosen, "D", MAIN, MAIN, "chosen"),
    ):
        if which.any():
            axes.plot(count[which], mse[which], marker, color=colour, markerfacecolor=face, label=name)
    noise = material.file.diagnostics.get("noise_std")
    if noise:
        axes.axhline(noise**2, color=WARM, linestyle="--", linewidth=1, label="residual variance")
    positive = mse[mse > 0]
    if len(positive) == len(mse) and positive.max() > 10 * positive.min():
        axes.set_yscale("log")
        _logarithmic(axes.yaxis)
    axes.set(xlabel="neurons", ylabel="held-out error, label²")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()


def neurons(canvas: Any, material: Material) -> None:
    """Weights as bars, a row for each neuron; of many inputs, the largest."""
    network, chosen = material.network, shown(material)
    size = np.abs(network.coefficients[chosen, None] * network.weights[chosen]).max(axis=0)
    inputs = np.sort(np.argsort(-size, kind="stable")[:MOST_INPUTS])
    rows = np.atleast_1d(canvas.subplots(len(chosen), 1, sharex=True, sharey=True))
    for axes, i in zip(rows, chosen, strict=True):
        weights = network.weights[i, inputs]
        axes.bar(range(len(inputs)), weights, color=np.where(weights >= 0, MAIN, WARM), width=0.7)
        axes.axhline(0, color=QUIET, linewidth=0.7)
        axes.set_title(_named(network, int(i)), pad=2)
    step = math.ceil(len(inputs) / 12)
    names = [input_name(network, int(j)) if network.columns else str(j) for j in inputs[::step]]
    turned = {"rotation": 90} if network.columns else {}
    rows[-1].set_xticks(range(0, len(inputs), step), names, **turned)
    which = "input" if len(inputs) == network.dim else f"input (the {len(inputs)} with the largest weights)"
    rows[-1].set_xlabel(which)
    canvas.supylabel("weight", fontsize=9)


def _named(network: Any, i: int) -> str:
    bias = f", bias {network.biases[i]:.3g}" if network.biases.any() else ""
    return f"neuron {i}: coefficient {network.coefficients[i]:.3g}{bias}"


def angles(canvas: Any, material: Material) -> None:
    """Angles between neurons as a heat map; on its diagonal, nothing."""
    found, axes = line_angles(material.network.weights), canvas.subplots()
    k = len(found)
    np.fill_diagonal(found, np.nan)
    image = axes.imshow(found, cmap=shades(WARM).reversed(), vmin=0, vmax=90, interpolation="nearest")
    canvas.colorbar(image, ax=axes, shrink=0.8, label="angle, degrees", ticks=[0, 30, 60, 90])
    if k <= MOST_NAMED:
        for i, j in zip(*np.nonzero(np.isfinite(found)), strict=True):
            axes.text(j, i, f"{found[i, j]:.2g}", ha="center", va="center", fontsize=8)
    ticks = range(0, k, math.ceil(k / 12))
    axes.set(xticks=ticks, yticks=ticks, xlabel="neuron", ylabel="neuron")
    axes.spines[:].set_visible(False)


def predicted(canvas: Any, material: Material) -> None:
    """A density of rows by prediction and label."""
    rows = material.rows
    assert rows is not None
    axes = canvas.subplots()
    edges = rows.label_edges
    image = _density(axes, rows.fit, edges, edges)
    axes.plot(edges[[0, -1]], edges[[0, -1]], "--", color=WARM, linewidth=1)
    axes.set(xlabel="predicted", ylabel="true label", box_aspect=1, xlim=edges[[0, -1]], ylim=edges[[0, -1]])
    _bar(canvas, image, axes)


def summary(canvas: Any, material: Material) -> None:
    """Labels against directions of the span, as densities with their means."""
    rows = material.rows
    assert rows is not None
    count = len(rows.summary)
    panels = np.atleast_1d(canvas.subplots(count, 1, sharey=True))
    for j, axes in enumerate(panels):
        edges = rows.direction_edges[j]
        image = _density(axes, rows.summary[j], edges, rows.label_edges)
        middle, means = summary_means(rows.summary[j], edges, rows.label_edges)
        axes.plot(middle, means, color=WARM)
        axes.set(xlabel=f"direction {j + 1} of {material.origin}, ⟨direction, x⟩", ylabel="label")
        _bar(canvas, image, axes)


def summary_means(counts: Array, edges: Array, label_edges: Array) -> tuple[Array, Array]:
    """Middles of the cells along a direction that hold five rows or more, and the mean label there."""
    full = counts.sum(axis=1) >= 5
    labels = (label_edges[1:] + label_edges[:-1]) / 2
    return ((edges[1:] + edges[:-1]) / 2)[full], counts[full] @ labels / counts[full].sum(axis=1)


def _density(axes: Any, counts: Array, x_edges: Array, y_edges: Array) -> Any:
    seen = np.ma.masked_equal(counts.T, 0)
    norm = extra("matplotlib.colors", "report").LogNorm(1, max(10.0, float(counts.max())))
    extent = (x_edges[0], x_edges[-1], y_edges[0], y_edges[-1])
    return axes.imshow(
        seen, origin="lower", extent=extent, aspect="auto", cmap=shades(MAIN), norm=norm, interpolation="nearest"
    )


def _bar(canvas: Any, image: Any, axes: Any) -> None:
    _logarithmic(canvas.colorbar(image, ax=axes, label="rows in a cell", shrink=0.9).ax.yaxis)


def residuals(canvas: Any, material: Material) -> None:
    """Partial residuals along each neuron, with the fitted ReLU."""
    rows, network, chosen = material.rows, material.network, shown(material)
    assert rows is not None
    grid = canvas.subplots(math.ceil(len(chosen) / 2), 2, squeeze=False)
    for axes, i in zip(grid.flat, chosen, strict=False):
        z, mean, se = rows.residuals(int(i))
        c, b = network.coefficients[i], network.biases[i]
        ends = rows.line_edges[i][[0, -1]]
        line = np.unique(np.clip([ends[0], -b, ends[1]], *ends))
        axes.axvline(-b, color=QUIET, linestyle=":", linewidth=1)
        axes.plot(line, c * np.maximum(line + b, 0), color=WARM)
        axes.errorbar(z, mean, yerr=2 * se, fmt=".", color=MAIN, markersize=4, elinewidth=1, zorder=3)
        axes.set(xlabel=f"⟨w{i}, x⟩", xlim=ends)
        axes.set_title(f"neuron {i}", pad=2)
    for axes in grid.flat[len(chosen) :]:
        axes.set_visible(False)
    canvas.supylabel("label less the other parts", fontsize=9)


def errors(canvas: Any, material: Material) -> None:
    """Intervals of coefficients about their estimate, and angles that directions stay within."""
    chosen, known = shown(material), material.file.errors
    at = np.arange(len(chosen))
    left, right = canvas.subplots(1, 2, sharey=True)
    widths = WITHIN * np.nan_to_num(known["coefficient_errors"][chosen])
    left.errorbar(np.zeros(len(at)), at, xerr=widths, fmt="o", color=MAIN, markersize=4, capsize=2)
    left.axvline(0, color=QUIET, linewidth=0.7)
    within = known.get("weight_within", np.full(material.network.neurons, np.nan))[chosen]
    right.plot(within, at, "o", color=MAIN, markersize=4, label="95 % within")
    planted = {found.student: found for found in material.matches}
    for row, i in zip(at, chosen, strict=True):
        if int(i) in planted:
            found = planted[int(i)]
            assert found.coefficient_error is not None
            left.plot(-found.coefficient_error, row, "D", color=WARM, markersize=4)
            right.plot(found.angle, row, "D", color=WARM, markersize=4)
    left.set(xlabel="coefficient − estimate", ylabel="neuron", yticks=at)
    left.set_yticklabels([str(i) for i in chosen])
    left.xaxis.get_major_locator().set_params(nbins=3)
    left.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if np.isfinite(within).any() and (within[np.isfinite(within)] > 0).all():
        right.set_xscale("log")
        _logarithmic(right.xaxis, most=5)
    right.set(xlabel="angle, radians")
    left.invert_yaxis()


def coverage_ratios(material: Material) -> dict[str, list[float]]:
    """Errors over their 95 % limits, for coefficients, directions and biases, as far as both are known."""
    known, found = material.file.errors, dict[str, list[float]]()
    for name, limits, error, scale in (
        ("coefficients", "coefficient_errors", "coefficient_error", WITHIN),
        ("directions", "weight_within", "angle", 1.0),
        ("biases", "bias_errors", "bias_error", WITHIN),
    ):
        if limits in known:
            pairs = [
                (getattr(m, error), scale * known[limits][m.student]) for m in material.matches if m.student is not None
            ]
            ratios = [abs(made) / limit for made, limit in pairs if limit > 0]
            found |= {name: ratios} if ratios else {}
    return found


def coverage(canvas: Any, material: Material) -> None:
    """Every error over its limit."""
    ratios, axes = coverage_ratios(material), canvas.subplots()
    names = []
    for row, (name, values) in enumerate(ratios.items()):
        axes.plot(values, _spread(values, row), "o", color=MAIN, markersize=5, alpha=0.7)
        names.append(f"{name}\n{sum(v <= 1 for v in values)} of {len(values)} within")
    axes.axvline(1, color=WARM, linestyle="--", linewidth=1)
    axes.set(xlabel="error / its 95 % limit", yticks=range(len(ratios)), ylim=(len(ratios) - 0.5, -0.5))
    axes.set_yticklabels(names)
    axes.set_xlim(0, max(2.0, 1.1 * max(map(max, ratios.values()))))


def _spread(values: Sequence[float], row: int) -> Array:
    """Heights about a row, so that equal values do not hide each other."""
    offsets: Array = row + 0.25 * (np.arange(len(values)) / max(1, len(values) - 1) - 0.5)
    return offsets


def dimension(canvas: Any, material: Material) -> None:
    """p-values of the tests, one for each dimension."""
    tests, axes = material.dimension["tests"], canvas.subplots()
    dims, p = ([row[name] for row in tests] for name in ("dim", "p_value"))
    level = material.dimension.get("level", 0.05)
    axes.vlines(dims, 0, p, color=MAIN, linewidth=1)
    axes.plot(dims, p, "o", color=MAIN)
    axes.axhline(level, color=WARM, linestyle="--", linewidth=1, label=f"level {level:g}")
    axes.set(xlabel="dimension of the span", ylabel="p-value", ylim=(0, 1.05), xticks=dims)
    axes.legend(loc="upper left")
