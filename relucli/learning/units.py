"""From the units that networks are fitted in, powers of two near the spread of each column, to those of the file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError
from relucli.learning.covariance import StructuredCovariance
from relucli.learning.polish import to_network
from relucli.learning.structured import Metric
from relucli.learning.student import Student
from relucli.learning.uncertainty import StandardErrors, standard_errors
from relucli.moments.estimate import Moments
from relucli.moments.scaling import Scaling
from relucli.network import ReluNetwork

__all__ = ["check_outliers", "in_file_units"]

Array = NDArray[np.float64]

OUTWEIGHING = 1e5
"""Standard deviation, in units of the typical distance from the median, that only far outliers give.

Beyond it, sums of squares hold fewer than six digits of what the other rows say.
"""

WIDEST = 900


def check_outliers(moments: Moments, typical: Scaling) -> None:
    """Refuse inputs of which a few rows outweigh all others, given the typical units of the rows.

    Raises
    ------
    DataError
        If the variance of a column is far beyond its typical spread; it names the column.
    """
    covariance = moments.covariance
    spread = np.sqrt(covariance if covariance.ndim == 1 else np.diag(covariance))
    spread = np.ldexp(spread, moments.scaling.inputs - typical.inputs)
    column = int(np.argmax(spread))
    if spread[column] > OUTWEIGHING:
        unit = np.ldexp(1.0, int(typical.inputs[column]))
        raise DataError(
            f"x column {column} has a few rows so far out that they outweigh all others (its standard deviation is "
            f"{unit * spread[column]:.2g}, its typical spread {unit:.2g}); drop or correct them"
        )


def _stretched(
    covariance: Array | StructuredCovariance, factors: Array, student: Student
) -> Array | StructuredCovariance:
    """The covariance of parameters that are multiplied by a factor (p,) for each input."""
    if isinstance(covariance, StructuredCovariance):
        normal, d = covariance.normal, len(covariance.normal.metric.mean)
        narrow = factors[:d]
        root = normal.metric.root / (narrow if normal.metric.root.ndim == 1 else narrow[:, None])
        metric = Metric(normal.metric.mean / narrow, root)
        return replace(covariance, normal=replace(normal, frame=factors[:, None] * normal.frame, metric=metric))
    each = np.append(np.tile(factors, student.neurons), factors[student.free])
    return covariance * each * each[:, None]


def in_file_units(
    scaling: Scaling, student: Student, covariance: Array | StructuredCovariance, bias: bool, shift: Array
) -> tuple[ReluNetwork, StandardErrors]:
    """The network that a student is, and its standard errors, in the units of the file.

    Units of inputs differ by factors of at most one from the smallest, 2^e, which is then a common factor: with units
    2^f of the labels, f(x) = 2^f net(2^-e x), so that coefficients grow by 2^(f - e) and biases by 2^e.

    Parameters
    ----------
    scaling : Scaling
    student : Student
        Of scaled inputs less the shift.
    covariance : ndarray or StructuredCovariance
        Of its parameters.
    bias : bool
    shift : ndarray, shape (d,)
        In the units of the scaled inputs.

    Raises
    ------
    DataError
        If a number of the network is out of range in these units.
    """
    if np.ptp(scaling.inputs) > WIDEST:
        low, high = int(np.argmin(scaling.inputs)), int(np.argmax(scaling.inputs))
        raise DataError(f"x columns {low} and {high} differ too much in scale for one network; rescale them")
    least = int(scaling.inputs.min())
    factors = np.append(np.ldexp(1.0, least - scaling.inputs), np.ones(int(bias)))
    moved = replace(student, beta=student.beta * factors, linear=student.linear * factors)
    center = shift / factors[: len(shift)]
    network = to_network(moved, bias, center)
    errors = standard_errors(moved, _stretched(covariance, factors, student), bias, center)
    slope, offset = scaling.labels - least, scaling.labels
    with np.errstate(over="ignore"):
        parts: dict[str, Any] = {
            "coefficients": np.ldexp(network.coefficients, slope),
            "biases": np.ldexp(network.biases, least),
            "linear": np.ldexp(network.linear, slope),
        }
        _check_range(network, parts)
        found = replace(network, **parts, offset=float(np.ldexp(network.offset, offset)))
        return found, StandardErrors(
            weights=errors.weights,
            within=errors.within,
            coefficients=np.ldexp(errors.coefficients, slope),
            biases=np.ldexp(errors.biases, least),
            linear=np.ldexp(errors.linear, slope),
            offset=float(np.ldexp(errors.offset, offset)),
        )


def _check_range(network: ReluNetwork, parts: dict[str, Array]) -> None:
    """Numbers must be finite, and those that are not zero hold all their digits."""
    tiny = np.finfo(float).tiny
    for name, now in parts.items():
        before = getattr(network, name)
        if not np.isfinite(now).all() or (np.abs(now[before != 0]) < tiny).any():
            raise DataError(f"the {name} of the network are out of the range of numbers in these units; rescale x or y")
