"""How many neurons: polish the models of the path on training rows, compare them on held-out rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relucli.learning.blurred import unresolved
from relucli.learning.collapse import PROMISING, Path, explains
from relucli.learning.covariance import SandwichAccumulator
from relucli.learning.descent import Fit
from relucli.learning.polish import Polished, polish
from relucli.learning.settle import settle
from relucli.learning.split import Seen, Split, lifting, squares
from relucli.learning.structured import Metric
from relucli.learning.student import Student
from relucli.storage.views import part

__all__ = ["Model", "Selection", "clearly_needed", "promises_more", "select"]

Array = NDArray[np.float64]

STEPS = 30
ROUGHLY = 3e-2
CLOSELY = 1e-2
THINNING = 4
ENOUGH = 10
CERTAIN = 5.0
LIKELY = 2.0
STALE = 0.9
NOTHING = 0.5


@dataclass(frozen=True)
class Model:
    """A model of the path, judged.

    Attributes
    ----------
    neurons : int
    validation_mse, validation_se : float
        Mean squared error on held-out rows, and its standard error.
    excess_se : float
        Standard error of its difference from the best model, row by row.
    polished : bool
        Whether it was fitted in all dimensions; the others were fitted on the span only.
    """

    neurons: int
    validation_mse: float
    validation_se: float
    excess_se: float
    polished: bool


@dataclass(frozen=True)
class Selection:
    """The chosen model, and the models it was chosen from.

    Attributes
    ----------
    fit : Polished
        Fitted to the rows that were not held out, with a linear part only if it belongs to the function.
    table : tuple of Model
    squares : ndarray
        Its squared errors on the held-out rows, when fitted to the others.
    labels : ndarray
        Of the held-out rows.
    exact : bool
        Whether it leaves no residual.
    """

    fit: Polished
    table: tuple[Model, ...]
    squares: Array
    labels: Array
    exact: bool

    @property
    def validation_mse(self) -> float:
        """Mean squared error on the held-out rows."""
        return float(self.squares.mean())

    def better_than(self, other: Selection) -> bool:
        """Whether it predicts the held-out rows better, by more than one standard error, or leaves no residual."""
        if self.exact or len(self.squares) == 0:
            return bool(self.exact or self.fit.quadratic.loss < 0.5 * other.fit.quadratic.loss)
        difference = other.squares - self.squares
        return bool(difference.mean() > difference.std() / np.sqrt(len(difference)))


def clearly_needed(path: Path) -> int:
    """The least number of neurons such that no larger model of the path explains far more than noise could."""
    return max([min(path)] + [m for m in path if m - 1 in path and explains(path[m], path[m - 1])])


def _table(squares: dict[int, Array], polished: set[int]) -> tuple[Model, ...]:
    if not len(next(iter(squares.values()))):
        return ()
    best = min((m for m in squares if m in polished), key=lambda m: squares[m].mean())
    root = np.sqrt(len(squares[best]))

    def spread(values: Array) -> float:
        return float(values.std() / root)

    return tuple(
        Model(m, float(s.mean()), spread(s), spread(s - squares[best]), m in polished)
        for m, s in sorted(squares.items())
    )


def _one_standard_error(table: tuple[Model, ...], fits: dict[int, Polished]) -> int:
    """The model of fewest parameters whose error exceeds the least by no more than its standard error.

    Of models with as many parameters, such as three neurons with a linear part and four without, that which fits the
    training rows best, if it is within two standard errors: there are more of these rows, and neither overfits more.
    """
    polished = [model for model in table if model.neurons in fits]
    least = min(model.validation_mse for model in polished)

    def close(errors: float) -> list[Model]:
        return [model for model in polished if model.validation_mse <= least + errors * model.excess_se]

    fewest = min(fits[model.neurons].student.parameters for model in close(1))
    alike = [model.neurons for model in close(2) if fits[model.neurons].student.parameters == fewest]
    return min(alike, key=lambda m: fits[m].mse)


def _worth_having(chosen: int, fits: dict[int, Polished], split: Split) -> int:
    """The model of fewest parameters that the chosen one does not improve on by 2 noise variances for each one more.

    Held-out rows may prefer a superfluous neuron by chance; on the rows fitted to, which are more, up to there the
    smaller model is the one that predicts better (Akaike), and superfluous neurons seldom gain that much.
    """
    larger = fits[chosen]
    if split.rows.samples <= ENOUGH * larger.student.parameters:
        return chosen

    def spared(m: int) -> bool:
        more = larger.student.parameters - fits[m].student.parameters
        gain = fits[m].quadratic.loss - larger.quadratic.loss
        return more > 0 and gain <= 2 * more * larger.quadratic.noise_variance

    return min([chosen, *filter(spared, fits)], key=lambda m: (fits[m].student.parameters, fits[m].mse))


def _not_left_out(chosen: int, fits: dict[int, Polished], split: Split, wanted: int | None = None) -> int:
    """The least larger model, if any, that explains more of the rows fitted to than superfluous neurons could.

    Of models with as many parameters as that, the one that fits these rows best.
    Half-spaces are sought for these, so that they gain up to 2 noise variances for each parameter, as if they had twice
    as many.  Where rows differ in their noise it is as much more as the variances of their parameters.
    For the number of neurons that is wanted less evidence is enough: from 2 noise variances for each parameter on,
    to have them predicts better than to leave them out.
    """
    for m in sorted(m for m in fits if m > chosen):
        larger, noise = fits[m], fits[m].quadratic.noise_variance
        more = larger.student.parameters - fits[chosen].student.parameters
        sigmas = LIKELY if m == wanted else CERTAIN
        chance = (2 * more + sigmas * np.sqrt(4 * max(0, more))) * noise
        gain = fits[chosen].quadratic.loss - larger.quadratic.loss
        many = split.rows.samples > ENOUGH * larger.student.parameters
        if many and more > 0 and gain > chance:
            errors = split.engine.fold(SandwichAccumulator(larger.normal), split.rows, "choose")
            if gain > chance * errors.covariance(split.rows.samples).inflation(noise):
                alike = [i for i in fits if fits[i].student.parameters == larger.student.parameters]
                return min(alike, key=lambda i: fits[i].mse)
    return chosen


def _many(student: Student, split: Split) -> bool:
    """Whether a part of the rows is enough for a first look."""
    return split.rows.samples > THINNING * ENOUGH * student.parameters


def _rough(student: Student, split: Split, metric: Metric) -> tuple[Polished, Array]:
    """A fit to a part of the rows, and its squared errors on the held-out rows."""
    rows = (part(split.rows, THINNING, True) if _many(student, split) else None) or split.rows
    fit = polish(rows, student, split.bias, split.engine, metric, steps=STEPS, tolerance=ROUGHLY)
    return fit, split.squares(fit.student)


def _may_help(path: Path, m: int) -> bool:
    """Whether m neurons or more explain on the span what m - 1 do not, as far as fits can be compared.

    A superfluous neuron mostly explains a quarter to all of what chance may.
    """
    if m - 1 not in path:
        return True
    alike = [path[i].quadratic.samples == path[m - 1].quadratic.samples for i in path if i >= m]
    return not all(alike) or any(explains(path[i], path[m - 1], NOTHING) for i in path if i >= m)


def _hopeless(larger: Array, smaller: Array, more: int, fit: Polished, split: Split) -> bool:
    """Whether a rough fit with some more neurons says that the same on all rows would not predict better.

    Fitted to n rows, each superfluous neuron costs about 2 p sigma^2 / n, p for its parameters and p for the
    choice of its half-space; on all N rows that is less, and p sigma^2 / N is saved if the linear part can be left out.
    Chance may add two standard errors.
    """
    difference = larger - smaller
    cost = fit.student.beta.shape[1] * fit.quadratic.noise_variance
    spared = cost * (2 * more / fit.quadratic.samples - 1 / split.rows.samples)
    return bool(difference.mean() - 2 * difference.std() / np.sqrt(len(difference)) > spared)


def promises_more(fits: list[Fit], known: Fit, seen: Seen) -> bool:
    """Whether a new fit predicts better than what is known already, both made on the same span.

    Better is by two standard errors on held-out rows, or by more than noise on the rows fitted to: close pairs
    show in few rows.  With none held out the latter must do.
    """
    if not len(seen.held_y):
        return min(fit.mse for fit in fits) < (1 - 1e-3) * known.mse
    if any(explains(fit, known, PROMISING) for fit in fits):
        return True
    now = squares(known.student, seen.held_x, seen.held_y)
    for fit in fits:
        difference = now - squares(fit.student, seen.held_x, seen.held_y)
        if difference.mean() > 2 * difference.std() / np.sqrt(len(difference)):
            return True
    return False


def select(
    path: Path, seen: Seen, split: Split, metric: Metric, wanted: int | None = None, known: Selection | None = None
) -> Selection:
    """Choose the number of neurons.

    1. Polish upwards from the least number that is clearly needed, or from that which is wanted if on a refined span it
       explains more than one neuron less; on a quarter of the rows first, where they are many, and on all where that is
       not hopeless.  A fit without residual ends the search.  Settle whether the linear part belongs to it.
    2. Square the errors of each on the held-out rows; end the search when one more neuron has not lowered the mean,
       and on a refined span no larger model of the path explains more than chance.
       On the first span, with many rows, end it as soon as none does.
       Models, too, are a linear function, unless the least number is larger, and what was found on an earlier span,
       unless as many neurons predict better now.
       With no rows held out, it is a fit without residual that is looked for: end where two more neurons have hardly
       lowered it.
    3. Take the model of fewest parameters within one standard error of the best; unless it has the number that is
       wanted, a smaller one where it is not worth its parameters on the rows fitted to, which are more; or a larger one
       where that leaves out what is beyond chance on these.

    Parameters
    ----------
    path : Path
        Fits on the span.
    seen : Seen
        The rows on the span.
    split : Split
        The same rows.
    metric : Metric
        Of the inputs.
    wanted : int, optional
        The number of neurons, if it is known.
    known : Selection, optional
        That of an earlier span, which is a candidate too.  The span then is refined: on one that is less well known
        more neurons make up for that.
    """
    lift, bias, engine, held = lifting(seen.basis, split.bias), split.bias, split.engine, len(seen.held_y) > 0
    errors = {m: squares(fit.student, seen.held_x, seen.held_y) for m, fit in path.items()}
    fits: dict[int, Polished] = {}
    rough: dict[int, Array] = {}
    least, refined = clearly_needed(path), known is not None
    if known is not None:
        fits[known.fit.student.neurons], errors[known.fit.student.neurons] = known.fit, known.squares
        if wanted in path and wanted - 1 in path and explains(path[wanted], path[wanted - 1], PROMISING):
            least = max(least, wanted)
    if least == min(path):
        fits[0] = polish(split.rows, Student.empty(len(lift)), bias, engine, metric)
        errors[0] = split.squares(fits[0].student)
        if fits[0].quadratic.exact:
            return _exact(fits[0], 0, errors, seen.held_y)
    for m in range(max(1, least), max(path) + 1):
        start = path[m].student.lifted(lift)
        if held and fits and not refined and _many(start, split) and not _may_help(path, m):
            break
        fit, rough[m] = _rough(start, split, metric)
        smaller = [i for i in rough if i < m and held]
        if smaller:
            best = min(smaller, key=lambda i: rough[i].mean())
            if _hopeless(rough[m], rough[best], m - best, fit, split):
                break
        closely = ROUGHLY if unresolved(fit, metric) else CLOSELY  # noise hides more of a pair than that
        fits[m] = polish(split.rows, fit.student, bias, engine, metric, bent=fit.bent, steps=STEPS, tolerance=closely)
        fits[m] = settle(split.rows, fits[m], bias, engine, metric, dense=not unresolved(fits[m], metric))
        errors[m] = split.squares(fits[m].student)
        if fits[m].quadratic.exact:
            return _exact(fits[m], m, errors, seen.held_y)
        if held and known is not None and m == known.fit.student.neurons and errors[m].mean() >= known.validation_mse:
            fits[m], errors[m] = known.fit, known.squares
        promising = refined and any(explains(path[i], path[m], PROMISING) for i in path if i > m)
        if smaller and not promising and errors[m].mean() >= min(errors[i].mean() for i in fits if i < m):
            break
        if not held and m - 2 in fits and fits[m].quadratic.loss > STALE * fits[m - 2].quadratic.loss:
            break
    table = _table(errors, set(fits))
    chosen = max(fits)
    if held:
        chosen = _one_standard_error(table, fits)
        chosen = chosen if chosen == wanted else _worth_having(chosen, fits, split)
        chosen = _not_left_out(chosen, fits, split, wanted)
    return Selection(fits[chosen], table, errors[chosen], seen.held_y, False)


def _exact(fit: Polished, neurons: int, errors: dict[int, Array], labels: Array) -> Selection:
    """A fit without residual needs no comparison."""
    table = _table(errors, {neurons}) or (Model(neurons, fit.mse, 0.0, 0.0, True),)
    return Selection(fit, table, errors[neurons], labels, True)
