"""How near the limit can any method come?  A lower bound on the risk for pairs that noise blurs.

    python tests/bench/attainable.py [--seeds 4] [--separation 0.05] [--draws 300]

The limit sigma^2 p / N is that of smooth models. A pair of opposite signs, relu(<M + S/2, x>) - relu(<M - S/2, x>),
is none where noise hides its wedge, so here is what holds for any method. Let the direction of M, S and the third
neuron be uniform, and |M|, sigma and the signs be known, which only helps. Then the planted network is itself a draw
from the posterior, and a chain that is reversible, keeps the posterior and starts there is stationary: for draws f_0
and f_t,

    E (f_t - f_0)^2 / 2 = E Var(f | data) - E Cov(f_t, f_0 | data) <= E Var(f | data) for even t,

and the last is the Bayes risk: no estimator, whatever it knows of networks, has a smaller mean over networks. The
chain is Hamiltonian Monte Carlo (R. M. Neal, MCMC using Hamiltonian dynamics, 2011) with a fixed distribution of
steps. ``at least`` is the mean of that over the even draws of its second half, ``mean of draws`` the error of their
mean, which is what Bayes' estimate would have on these rows, and ``relucli`` that of `learn` on the same rows: all as
multiples of sigma^2 p / N.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from relucli.learning.pipeline import LearnOptions, learn
from relucli.network import ReluNetwork, population_error
from relucli.storage.dataset import MemoryRows
from relucli.streaming.executors import one_blas_thread
from relucli.streaming.fold import Engine
from relucli.synthesis import plant

LEAPS = 12
TRIALS = 40
STIFF = 1e4
"""Of the spring that holds the length of a direction near one: the length says nothing."""


@dataclass
class Posterior:
    """Of (the third neuron, S, u), M = kappa u, in coordinates in which it is about a unit normal."""

    x: np.ndarray
    y: np.ndarray
    teacher: ReluNetwork
    noise: float

    def __post_init__(self) -> None:
        w, c = self.teacher.weights, self.teacher.coefficients
        first, second = (0, 1) if c[0] > 0 else (1, 0)
        a, b = (abs(c[i]) * w[i] for i in (first, second))
        self.sign, mean = np.sign(c[2]), (a + b) / 2
        self.kappa = np.linalg.norm(mean)
        start = np.stack([abs(c[2]) * w[2], a - b, mean / self.kappa])
        seen = self.x @ start.T
        features = np.column_stack([self.sign * (seen[:, 0] > 0), seen[:, 2] > 0])
        self.scale = np.linalg.cholesky(np.linalg.inv(features.T @ features / self.noise**2))
        d, jump = len(mean), np.linalg.norm(a - b)
        spread = 2**1.5 * np.pi * self.noise**2 * d / len(self.y) / jump**2  # about that of a sharp change point
        self.width = min(0.3, spread) / np.sqrt(d)
        self.start = np.vstack([np.linalg.solve(self.scale, start[:2]), start[2] / self.width])

    def parameters(self, at: np.ndarray) -> np.ndarray:
        """Third neuron, S and u."""
        return np.vstack([self.scale @ at[:2], at[2:] / np.linalg.norm(at[2])])

    def network(self, points: list[np.ndarray]) -> ReluNetwork:
        """The mean of the functions at some points, all their neurons in one network."""
        beta = []
        for at in points:
            third, step, u = self.parameters(at)
            beta += [self.kappa * u + step / 2, self.kappa * u - step / 2, third]
        signs = np.tile([1.0, -1.0, self.sign], len(points))
        return ReluNetwork.from_vectors(np.stack(beta) / len(points), signs, np.zeros(len(beta)))

    def potential(self, at: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the log of the posterior, and its gradient."""
        length = np.linalg.norm(at[2]) * self.width
        third, across, along = (self.x @ self.parameters(at).T).T
        half, z = np.abs(across) / 2, self.kappa * along
        turn, cut = np.sign(across), np.clip(z, -half, half)
        residual = self.y - self.sign * np.maximum(third, 0) - across / 2 - turn * cut
        inside = np.abs(z) < half
        features = np.column_stack(
            [self.sign * (third > 0), (1 + np.where(inside, 0, np.sign(z))) / 2, self.kappa * turn * inside]
        )
        gradient = -(features * residual[:, None]).T @ self.x / self.noise**2
        u = at[2] * self.width / length
        around = (gradient[2] - (gradient[2] @ u) * u) / length + STIFF * (length - 1) * u
        value = residual @ residual / (2 * self.noise**2) + STIFF * (length - 1) ** 2 / 2
        return float(value), np.vstack([self.scale.T @ gradient[:2], around * self.width])


def chain(posterior: Posterior, step: float, draws: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, bool]]:
    """Draws, the start not among them, and whether each moved."""
    at = posterior.start
    value, gradient = posterior.potential(at)
    for _ in range(draws):
        momentum, size = rng.standard_normal(at.shape), step * rng.uniform(0.7, 1.3)
        trial, slope, energy = at, gradient, value + (momentum**2).sum() / 2
        for _ in range(LEAPS):
            momentum = momentum - size / 2 * slope
            trial = trial + size * momentum
            height, slope = posterior.potential(trial)
            momentum = momentum - size / 2 * slope
        moved = np.log(rng.uniform()) < energy - height - (momentum**2).sum() / 2
        if moved:
            at, value, gradient = trial, height, slope
        yield at, bool(moved)


def tuned(posterior: Posterior, rng: np.random.Generator) -> float:
    """A step of which about two thirds are accepted, found by chains of their own."""
    step = 0.1
    for _ in range(TRIALS):
        ((_, moved),) = chain(posterior, step, 1, rng)
        step *= 1.1 if moved else 0.8
    return step


def squared(first: ReluNetwork, second: ReluNetwork) -> float:
    """E (f - g)^2."""
    return population_error(first, second).value * second.variance()


def compared(seed: int, args: argparse.Namespace) -> tuple[float, float, float]:
    """The bound, the error of the mean of the draws and that of `learn`, as multiples of the limit."""
    teacher = plant("close", args.dim, 3, seed=seed, separation=args.separation)
    noise, rng = args.noise * teacher.variance() ** 0.5, np.random.default_rng([seed, 1])
    x = rng.standard_normal((args.rows, args.dim))
    y = teacher(x) + noise * rng.standard_normal(args.rows)
    limit = noise**2 * 3 * args.dim / args.rows
    posterior = Posterior(x, y, teacher, noise)
    step = tuned(posterior, rng)
    points = [at for at, _ in chain(posterior, step, args.draws, rng)][1::2]
    late = points[len(points) // 2 :]
    bound = np.mean([squared(posterior.network([at]), teacher) / 2 for at in late])
    mean = squared(posterior.network(points), teacher)
    found = learn(MemoryRows(x, y), LearnOptions(neurons=3), Engine(workers=2)).network
    return float(bound) / limit, mean / limit, squared(found, teacher) / limit


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--separation", type=float, default=0.05)
    parser.add_argument("--noise", type=float, default=0.3, help="as a share of the standard deviation of f")
    parser.add_argument("--draws", type=int, default=300)
    args = parser.parse_args()
    print("| seed | at least | mean of draws | relucli |\n|---|---|---|---|")
    rows = []
    with one_blas_thread():
        for seed in range(1, args.seeds + 1):
            rows.append(compared(seed, args))
            print(f"| {seed} | {' | '.join(f'{value:.2f}' for value in rows[-1])} |", flush=True)
    print(f"| mean | {' | '.join(f'{value:.2f}' for value in np.mean(rows, axis=0))} |")


if __name__ == "__main__":
    main()
