"""What a report says in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from relucli.network import ReluNetwork, angle_words
from relucli.network.display import largest_weights
from relucli.quantities import counted
from relucli.report.material import Material

__all__ = ["said", "signed", "summary"]


def said(value: float | None, error: float | None = None) -> str:
    """A number, to the digits that its error leaves."""
    if value is None or not math.isfinite(value):
        return "unknown"
    if error is None or not (math.isfinite(error) and error > 0):
        return f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    text = f"{value:.{digits}f} ± {error:.{digits}f}" if digits <= 8 else f"{value:.8g} ± {error:.1e}"
    return text.replace("-", "−")


def summary(material: Material) -> Iterator[str]:
    """Sentences, the most important first."""
    network, known = material.network, material.file.diagnostics
    linear = ", a linear part" if network.linear.any() else ""
    biases = " with biases" if network.biases.any() else ""
    neurons, inputs = counted(network.neurons, "neuron"), counted(network.dim, "input")
    yield f"The network has {neurons}{biases}{linear} over {inputs}."
    if {"samples", "r2", "noise_std"} <= known.keys():
        rows, share = counted(int(known["samples"]), "row"), f"{float(known['r2']):.6f}"
        exact = ", exact to rounding" if known.get("exact") else ""
        noise = f"residual standard deviation {said(known['noise_std'])}{exact}"
        yield f"It was learned from {rows}: r² {share}, {noise}."
    if material.rows is not None:
        score = material.rows.score
        share = "" if score.r2 is None else f", r² {said(score.r2, score.r2_se)}"
        rmse = said(score.rmse, score.rmse_se)
        yield f"On the {counted(score.samples, 'row')} given, its root mean squared error is {rmse}{share}."
    if material.population_error is not None:
        yield f"It differs from its teacher by {material.population_error:.2e} of the teacher's variance."
    within = material.file.errors.get("weight_within", np.empty(0))
    if np.isfinite(within).any():
        worst = int(np.nanargmax(within))
        yield f"Least is known of the direction of neuron {worst}: within {angle_words(float(within[worst]))}."
    yield from _doubts(material)


def _doubts(material: Material) -> Iterator[str]:
    findings = material.file.diagnostics.get("findings", [])
    bad = [item for item in findings if not item["ok"]]
    if bad:
        yield "What calls for attention: " + "; ".join(f"{item['stage']}: {item['message']}" for item in bad) + "."
    elif findings:
        yield "No stage saw anything amiss."
    tested = material.dimension
    if tested:
        found = tested.get("dimension")
        words = counted(found, "dimension") if found is not None else "more dimensions than were tested"
        yield f"Permutation tests give the span {words}."


def signed(network: ReluNetwork, neuron: int, count: int) -> str:
    """The largest weights of a neuron, and their inputs."""
    largest = largest_weights(network, neuron, count)
    return ", ".join("−" + weight[1:] if weight.startswith("-") else weight for weight in largest)
