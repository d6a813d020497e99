"""A pair that noise hides altogether: what is seen of it is a linear part.

The pair of `mean_field` is <S, x> / 2 + sign <S, x> clip(<M, x>), clipped at |<S, x>| / 2 on either side of zero.
Where the direction of M is not seen on the span, fewer neurons and a linear part, <S, x> / 2, fit nearly as well.
What they leave, r, knows it: <S, x> r has the mean |<S, x>|^2 sign(<M, x>) / 2 outside the wedge, so that the sum of
<S, x> r x points along M.  That is the gradient by u of the free energy of `mean_field` where M may be anything.

With g that gradient and G its curvature, g^T G^{-1} g / sigma^2 is the score statistic of M = 0: chi-squared with p
degrees of freedom without a pair, as is the linear part's own over its variance where there is none.  Where either is
too near p for a decisive evidence, none is looked for.

Else, from there the free energy is made least, the volume of all else counted.  At its other end, where M is zero, it
is that of the linear part: half of what it falls by, in units of the noise variance, is about the log of the evidence
for a pair.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from relucli.learning.blurred import STEPS, TOLERANCE, at_mean
from relucli.learning.blurred_pair import BlurredPair, length
from relucli.learning.identify import orientations
from relucli.learning.mean_field import field, mean_field
from relucli.learning.polish import Polished, polish
from relucli.learning.structured import Metric
from relucli.streaming.fold import Engine, Rows

__all__ = ["revealed"]

ANYTHING = 100.0
ROUGHLY = 1e-3
DECISIVE = 8.0
"""Log of an evidence that is more than chance: where the linear part is, without a pair it is seldom beyond 2."""


def revealed(rows: Rows, fit: Polished, most: int, bias: bool, engine: Engine, metric: Metric) -> Polished:
    """A fit with a pair in place of its linear part, if there is one and neurons may be so many.

    Where the linear part was left out, since it costs about what it explains, it is fitted for this; the pair must
    then explain more than two noise variances for each of the 2 p parameters more.

    Parameters
    ----------
    rows : Rows
        The data that ``fit`` was made on.
    fit : Polished
    most : int
        The largest number of neurons.
    bias, engine, metric
        As in `polish`.
    """
    student, p = fit.student, len(fit.student.linear)
    if student.neurons + 2 > most or fit.quadratic.exact:
        return fit
    if len(student.free) == p:
        return _in_place_of_linear(rows, fit, bias, engine, metric) or fit
    free = polish(rows, replace(student, free=np.arange(p)), bias, engine, metric, dense=False)
    pair = _in_place_of_linear(rows, free, bias, engine, metric)
    if pair is None or fit.quadratic.loss - pair.quadratic.loss <= 4 * p * fit.quadratic.noise_variance:
        return fit
    return pair


def _in_place_of_linear(rows: Rows, fit: Polished, bias: bool, engine: Engine, metric: Metric) -> Polished | None:
    """A fit with a pair in place of its linear part, if the evidence for that is decisive."""
    student, (d, p) = fit.student, (len(metric.mean), len(fit.student.linear))
    student = student.flipped(orientations(student.beta, student.signs, student.linear)[0])
    step, noise = 2 * student.linear, fit.quadratic.noise_variance
    size = length(step, metric)
    chance = p + 2 * DECISIVE
    if size**2 / 4 < chance * noise * fit.normal.inverse[1][-1, -1]:
        return None
    rest = replace(student, linear=np.zeros(p), free=np.arange(d, p))
    evaluate = mean_field(rows, bias, engine, noise, np.zeros((rest.neurons + 1, rest.neurons + 1)))
    slope, gram = evaluate(BlurredPair(rest, step, step / size, np.log([size / ANYTHING, ANYTHING]), metric))
    around = slice(rest.parameters + p, rest.parameters + 2 * p)
    along = gram.solve(slope.gradient)[around]
    if along @ slope.gradient[around] < chance * noise:
        return None
    without = fit.quadratic.loss + noise * p * gram.volume
    start = BlurredPair(rest, step, along / length(along, metric), np.log([size, 1.0]), metric)
    found = field(rows, start, bias, engine, noise, volume=True, steps=STEPS, tolerance=ROUGHLY)
    if not found.converged or found.energy > without - 2 * noise * DECISIVE:
        return None
    found = field(rows, found.pair, bias, engine, noise, volume=False, steps=STEPS, tolerance=TOLERANCE)
    pair = (rest.neurons, rest.neurons + 1)
    return replace(at_mean(rows, fit, found.pair.nearest(), bias, engine, metric), blurred=(pair,))
