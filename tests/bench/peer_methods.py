"""The methods that `peers.py` compares: relucli by its command line, and what else one would reach for.

Every method is given the same rows.  The students of PyTorch and scikit-learn are trained with each of three learning
rates on four fifths of the rows and chosen by the rest, on labels of unit variance.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import statsmodels.regression.dimred as dimred
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from relucli.generation import Outputs, Recipe, generate
from relucli.learning.subspace import estimate_subspace
from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.network import ReluNetwork
from relucli.storage.dataset import MemoryRows
from relucli.storage.results import read_network
from relucli.streaming.fold import Engine
from relucli.synthesis import plant, synthesize

Array = NDArray[np.float64]
Predict = Callable[[Array], Array]

HELD_OUT = 5  # every fifth row
RATES = (3e-2, 1e-2, 3e-3)
BATCH = 256
STEPS = 5000
CHECK_EVERY = 100  # steps between looks at the held-out rows
SKLEARN_RATES = (1e-2, 3e-3, 1e-3)
SKLEARN_WIDTH = 64
SKLEARN_EPOCHS = 100
PATIENCE = 20
SLICES = 10
TEST_ROWS = 50_000
TEST_SEED = 77_000


@dataclass(frozen=True)
class Case:
    """Networks of one kind and the rows drawn from them.

    Attributes
    ----------
    family : str
        As of ``relucli generate``.
    d, k, n : int
        Inputs, neurons, rows.
    share : float
        Noise as a share of the standard deviation of the labels without it.
    separation : float
        Of the family close, in radians.
    """

    family: str
    d: int
    k: int
    n: int
    share: float
    separation: float = 0.05

    @property
    def name(self) -> str:
        """The family, and what sets it apart."""
        return f"close, {self.separation:g} rad" if self.family == "close" else self.family

    @property
    def parameters(self) -> int:
        """Identifiable ones: the pairs of an alternating network are a line each, and share a linear part."""
        return (self.k // 2 + 1) * self.d if self.family == "alternating" else self.k * self.d

    @property
    def rank(self) -> int:
        """Dimensions of the span of the neurons."""
        return 2 if self.family in ("planar", "alternating") else min(self.k, self.d)

    @property
    def limit(self) -> float:
        """sigma^2 p / (N Var f)."""
        return self.share**2 * self.parameters / self.n


@dataclass(frozen=True)
class Problem:
    """A planted network and its rows."""

    teacher: ReluNetwork
    noise: float
    seed: int
    x: Array
    y: Array

    @classmethod
    def draw(cls, case: Case, seed: int) -> Problem:
        """The network of a seed, and rows of another stream."""
        teacher = plant(case.family, case.d, case.k, seed=seed, separation=case.separation)
        noise = case.share * teacher.variance() ** 0.5
        blocks = list(synthesize(teacher, case.n, seed=seed + 1000, noise=noise))
        x, y = (np.concatenate([getattr(block, name) for block in blocks]) for name in "xy")
        return cls(teacher, noise, seed + 1000, x, y)

    def error(self, predict: Predict) -> float:
        """E (f - g)^2 / Var f on fresh inputs."""
        x = np.random.default_rng(TEST_SEED).standard_normal((TEST_ROWS, self.teacher.dim))
        return float(np.mean((predict(x) - self.teacher(x)) ** 2) / self.teacher.variance())


@dataclass(frozen=True)
class Fit:
    """What a method found.

    Attributes
    ----------
    predict : callable
        The function.
    seconds : float
        Of the run that was chosen.
    best : float
        Of that run, until it was at its best on the held-out rows.
    search : float
        Of the runs with all learning rates.
    """

    predict: Predict
    seconds: float
    best: float
    search: float


def relucli(problem: Problem, k: int) -> Fit:
    """``relucli learn -k``; the seconds are those of the whole command.  Where it refuses, the mean label stands in."""
    with tempfile.TemporaryDirectory() as folder:
        data, net = Path(folder) / "data.h5", Path(folder) / "net.h5"
        generate(Outputs(data), problem.teacher, Recipe(len(problem.y), problem.seed, problem.noise), Engine())
        start = perf_counter()
        command = ["relucli", "learn", str(data), "-k", str(k), "-o", str(net), "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = perf_counter() - start
        if done.returncode:
            print(done.stderr.strip(), file=sys.stderr)
        predict = (lambda _: problem.y.mean()) if done.returncode else read_network(net).network
        return Fit(predict, seconds, seconds, seconds)


def adam(problem: Problem, width: int) -> Fit:
    """A student relu(x W^T) c of some width, trained by Adam in minibatches, the learning rate along half a cosine."""
    scale = problem.y.std()
    x, y = torch.tensor(problem.x, dtype=torch.float32), torch.tensor(problem.y / scale, dtype=torch.float32)
    held = torch.arange(len(y)) % HELD_OUT == HELD_OUT - 1
    rows = x[~held], y[~held], x[held], y[held]
    runs = [_adam_run(*rows, width, rate, seed) for seed, rate in enumerate(RATES)]
    _, w, c, seconds, best = min(runs, key=lambda run: run[0])
    w, c = w.double().numpy(), scale * c.double().numpy()
    return Fit(lambda inputs: np.maximum(inputs @ w.T, 0) @ c, seconds, best, sum(run[3] for run in runs))


def _adam_run(
    x: torch.Tensor, y: torch.Tensor, x_held: torch.Tensor, y_held: torch.Tensor, width: int, rate: float, seed: int
) -> tuple[float, torch.Tensor, torch.Tensor, float, float]:
    """The least held-out error, its student, the seconds of the run and those until then."""
    random = torch.Generator().manual_seed(seed)
    w = torch.randn((width, x.shape[1]), generator=random).div_(x.shape[1] ** 0.5).requires_grad_()
    c = torch.randn(width, generator=random).div_(width**0.5).requires_grad_()
    optimizer = torch.optim.Adam([w, c], lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    found, start, step = (np.inf, w, c, 0.0), perf_counter(), 0
    while step < STEPS:
        order = torch.randperm(len(y), generator=random)
        for batch in order[: len(y) // BATCH * BATCH].view(-1, BATCH):
            loss = torch.nn.functional.mse_loss(torch.relu(x[batch] @ w.T) @ c, y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step % CHECK_EVERY == 0:
                with torch.no_grad():
                    error = float(torch.mean((torch.relu(x_held @ w.T) @ c - y_held) ** 2))
                if error < found[0]:
                    found = error, w.detach().clone(), c.detach().clone(), perf_counter() - start
            if step == STEPS:
                break
    error, w, c, best = found
    return error, w, c, perf_counter() - start, best


def sklearn_mlp(problem: Problem, _: int) -> Fit:
    """The MLPRegressor of scikit-learn, with biases, stopped early by its own held-out rows."""
    scale = problem.y.std()
    runs = []
    for rate in SKLEARN_RATES:
        student = MLPRegressor(
            hidden_layer_sizes=(SKLEARN_WIDTH,),
            alpha=0.0,
            batch_size=BATCH,
            learning_rate_init=rate,
            max_iter=SKLEARN_EPOCHS,
            early_stopping=True,
            validation_fraction=1 / HELD_OUT,
            n_iter_no_change=PATIENCE,
            tol=0.0,
            random_state=0,
        )
        start = perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            student.fit(problem.x, problem.y / scale)
        runs.append((student, perf_counter() - start))
    student, seconds = max(runs, key=lambda run: run[0].best_validation_score_)
    epochs = 1 + int(np.argmax(student.validation_scores_))
    best = seconds * epochs / student.n_iter_
    return Fit(lambda x: scale * student.predict(x), seconds, best, sum(run[1] for run in runs))


METHODS: dict[str, Callable[[Problem, int], Fit]] = {
    "relucli": relucli,
    "Adam, k": lambda problem, k: adam(problem, k),
    "Adam, 4k": lambda problem, k: adam(problem, 4 * k),
    "Adam, 64": lambda problem, k: adam(problem, 64),
    "scikit-learn, 64": sklearn_mlp,
}


def span_cosines(problem: Problem, rank: int) -> dict[str, float]:
    """The cosine of the largest angle between the true span and that of the first ``rank`` directions of a method.

    Of the principal Hessian directions with the linear trend of the labels and without it, the better counts.
    """
    x, y = problem.x, problem.y
    moments = estimate_moments(MemoryRows(x, y), MomentSettings(contractions=0), Engine())
    found = {
        "relucli": [estimate_subspace(moments, "sliced", "auto", rank, 0).basis],
        "PHD": [dimred.PrincipalHessianDirections(y, x).fit(resid=resid).params for resid in (False, True)],
        "SAVE": [dimred.SlicedAverageVarianceEstimation(y, x).fit(slice_n=len(y) // SLICES).params],
    }
    truth = np.linalg.svd(problem.teacher.weights)[2][:rank].T
    return {name: max(_cosine(truth, basis[:, :rank]) for basis in bases) for name, bases in found.items()}


def _cosine(truth: Array, basis: Array) -> float:
    """The least cosine of the principal angles; 0 if directions are missing."""
    overlap = truth.T @ np.linalg.qr(np.real(basis))[0]
    return float(np.linalg.svd(overlap, compute_uv=False)[-1]) if basis.shape[1] == truth.shape[1] else 0.0
