"""How far a student is from its teacher: as a function, and neuron by neuron."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError
from relucli.network.gaussian import distances, relu_second_moment
from relucli.network.relu import LINE_TOLERANCE, ReluNetwork, check_dims, gram, row_slices

__all__ = ["Match", "PopulationError", "angle_words", "match", "population_error"]

Floats = NDArray[np.float64]

RESOLVED = 1e-11  # a closed form no smaller than this share of the terms it cancels has four digits
FRESH_ROWS = 200_000
FRESH_SEED = 0x5EED


@dataclass(frozen=True)
class PopulationError:
    """E (f - g)^2 / Var g under N(0, I).

    Attributes
    ----------
    value : float
    method : {"closed-form", "monte-carlo"}
    rows : int
        Fresh rows drawn by the Monte Carlo, 0 for the closed form.
    """

    value: float
    method: Literal["closed-form", "monte-carlo"]
    rows: int


def population_error(student: ReluNetwork, teacher: ReluNetwork) -> PopulationError:
    """E (student - teacher)^2 / Var teacher under N(0, I).

    In closed form where that leaves four digits.  Where its terms cancel to less than 1e-11 of their size, as
    for an error below some 1e-10, the mean over 200,000 fresh rows of a fixed seed takes its place: to about
    a percent, down to the rounding of the networks themselves, 1e-30 or so.

    Raises
    ------
    DataError
        If the dimensions differ, the teacher is constant, or squares overflow.
    """
    check_dims(student, teacher)
    f, g = (net.flipped(net.biases > 0) for net in (student, teacher))
    g, f = replace(g, offset=0.0), replace(f, offset=f.offset - g.offset)
    difference = ReluNetwork(
        weights=np.vstack([f.weights, g.weights]),
        coefficients=np.concatenate([f.coefficients, -g.coefficients]),
        biases=np.concatenate([f.biases, g.biases]),
        linear=f.linear - g.linear,
        offset=f.offset,
    )
    if not math.isfinite(_terms(difference) + _terms(g)):
        raise DataError("the networks are too large to be compared: their squares overflow")
    error, spread = gram(difference, difference), g.variance()
    if error > RESOLVED * _terms(difference) and spread > RESOLVED * _terms(g):
        return PopulationError(error / spread, "closed-form", 0)
    squared, spread = _fresh_moments(f, g)
    if spread <= 1e-28 * _terms(g):
        raise DataError("the teacher is constant: no error relative to its variance exists")
    return PopulationError(squared / spread, "monte-carlo", FRESH_ROWS)


def _terms(network: ReluNetwork) -> float:
    """An upper bound of the terms that E network^2 is the sum of; biases at most 0."""
    relus = np.abs(network.coefficients) @ np.sqrt(relu_second_moment(network.biases))
    size = relus + np.linalg.norm(network.linear) + abs(network.offset)
    return float(size) * float(size)  # infinite if it overflows


def _fresh_moments(f: ReluNetwork, g: ReluNetwork) -> tuple[float, float]:
    """Mean of (f - g)^2 and variance of g over FRESH_ROWS rows of N(0, I), drawn in blocks."""
    f, g = _on_span(f, g)
    rng = np.random.default_rng(FRESH_SEED)
    values, squared = np.empty(FRESH_ROWS), 0.0
    for part in row_slices(FRESH_ROWS, f.dim):
        x = rng.standard_normal((part.stop - part.start, f.dim))
        values[part] = g(x)
        squared += float(np.sum((f(x) - values[part]) ** 2))
    return squared / FRESH_ROWS, float(values.var())


def _on_span(f: ReluNetwork, g: ReluNetwork) -> tuple[ReluNetwork, ReluNetwork]:
    """Both networks in orthonormal coordinates of the span of all their directions.

    (f, g) keeps its law under N(0, I), and inputs have at most as many dimensions as there are directions.
    """
    directions = np.vstack([f.weights, g.weights, f.linear, g.linear])
    if len(directions) >= f.dim:
        return f, g
    basis = np.linalg.qr(directions.T)[0]

    def moved(net: ReluNetwork) -> ReluNetwork:
        size, signs = np.abs(net.coefficients), np.sign(net.coefficients)
        vectors = size[:, None] * (net.weights @ basis)
        return ReluNetwork.from_vectors(vectors, signs, size * net.biases, net.linear @ basis, net.offset)

    return moved(f), moved(g)


@dataclass(frozen=True)
class Match:
    """A teacher's neuron and the student's that lies on the closest line.

    Attributes
    ----------
    teacher, student : int
        Indices of neurons; where several share a line, that of the largest.  ``student`` is None for a
        neuron left without a partner, and so are the errors.
    angle : float
        Radians between the directions w and w', with the student's neuron turned as the teacher's: as the lines
        (w, b) and (w', b') are closest.
    coefficient_error : float
        Student's coefficient minus the teacher's, each summed over the neurons of its line.
    bias_error : float
        Student's bias minus the teacher's, in the teacher's orientation.
    """

    teacher: int
    student: int | None = None
    angle: float | None = None
    coefficient_error: float | None = None
    bias_error: float | None = None


def match(student: ReluNetwork, teacher: ReluNetwork) -> list[Match]:
    """Pair the teacher's neurons with the student's so that the sum of the angles is least.

    That sum is of angles between lines (w, b) up to sign, so that neurons of one direction are told apart by bias.
    Lines are compared, not neurons: antipodal neurons and duplicates are first merged in both networks
    (`ReluNetwork.canonical`), since c relu(z) = c relu(-z) + c z leaves the orientation to convention.
    The list has one entry for each line of the teacher, in the order of its neurons.

    Raises
    ------
    DataError
        If the networks take inputs of different dimension.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and needed here alone

    check_dims(student, teacher)
    f, f_index = student.merged(LINE_TOLERANCE)
    g, g_index = teacher.merged(LINE_TOLERANCE)
    minus, plus = distances(_directions(g), _directions(f))
    angles = 2 * np.arctan2(np.minimum(minus, plus), np.maximum(minus, plus))
    apart, opposite = distances(g.weights, f.weights)
    found = [Match(int(i)) for i in g_index]
    for i, j in zip(*linear_sum_assignment(angles), strict=True):
        near, far = (apart, opposite) if minus[i, j] <= plus[i, j] else (opposite, apart)
        turn = 1.0 if near is apart else -1.0
        found[i] = Match(
            teacher=int(g_index[i]),
            student=int(f_index[j]),
            angle=float(2 * np.arctan2(near[i, j], far[i, j])),
            coefficient_error=float(f.coefficients[j] - g.coefficients[i]),
            bias_error=float(turn * f.biases[j] - g.biases[i]),
        )
    return found


def _directions(network: ReluNetwork) -> Floats:
    """Unit vectors along (w_i, b_i), shape (k, d + 1)."""
    rows = np.column_stack([network.weights, network.biases])
    unit: Floats = rows / np.hypot(1.0, network.biases)[:, None]
    return unit


def angle_words(radians: float) -> str:
    """An angle for people: "same to 1e-9 rad", "0.0120 mrad", "0.3 mrad", "2.1 degrees"."""
    if radians <= 1e-6:
        return f"same to 1e{math.ceil(math.log10(max(radians, 1e-15)))} rad"
    if radians < math.radians(1.0):
        return f"{1e3 * radians:.{1 if radians >= 1e-4 else 4}f} mrad"
    return f"{math.degrees(radians):.1f} degrees"
