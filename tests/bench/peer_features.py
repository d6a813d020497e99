"""What other packages make of one planted network: the last column of the README's table of features.

    pip install openturns projection-pursuit scikit-learn statsmodels torch
    python tests/bench/peer_features.py

Three orthogonal neurons with biases, 5,000 rows of 10 inputs, noise 0.1 sd(f), and the same rows without noise. Prints
E (f - g)^2 / Var f on fresh inputs, or the least cosine between true and found span. Half a minute. `sliced` does
not run with numpy 1.24 or later; where it is installed with an older one, it is tried too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DIM, ROWS, SHARE, STARTS = 10, 5_000, 0.1, 3
COEFFICIENTS, BIASES = np.array([1.0, -1.2, 0.8]), np.array([0.3, -0.2, 0.5])

random = np.random.default_rng(0)
W = np.linalg.qr(random.standard_normal((DIM, 3)))[0].T
X, FRESH = random.standard_normal((ROWS, DIM)), random.standard_normal((20_000, DIM))


def f(x: Array) -> Array:
    return np.maximum(x @ W.T + BIASES, 0) @ COEFFICIENTS


EXACT = f(X)
NOISY = EXACT + SHARE * EXACT.std() * random.standard_normal(ROWS)


def relucli(y: Array) -> Array:
    from relucli.learning.pipeline import LearnOptions, learn
    from relucli.storage.dataset import MemoryRows
    from relucli.streaming.fold import Engine

    return learn(MemoryRows(X, y), LearnOptions(bias=True), Engine()).network(FRESH)


def scikit_learn(y: Array) -> Array:
    from sklearn.neural_network import MLPRegressor

    options = {"hidden_layer_sizes": (3,), "solver": "lbfgs", "alpha": 0, "max_iter": 5000, "max_fun": 10**5}
    runs = [MLPRegressor(tol=1e-14, random_state=seed, **options).fit(X, y) for seed in range(STARTS)]
    return min(runs, key=lambda run: run.loss_).predict(FRESH)


def torch_lbfgs(y: Array) -> Array:
    import torch

    torch.set_num_threads(1)
    x, labels = torch.tensor(X), torch.tensor(y)[:, None]
    runs = []
    for seed in range(STARTS):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(DIM, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)).double()
        ends = {"tolerance_grad": 1e-14, "tolerance_change": 1e-16, "history_size": 50}
        optimizer = torch.optim.LBFGS(net.parameters(), max_iter=1000, line_search_fn="strong_wolfe", **ends)

        def loss(net=net, optimizer=optimizer):
            optimizer.zero_grad()
            value = torch.mean((net(x) - labels) ** 2)
            value.backward()
            return value

        optimizer.step(loss)
        runs.append((float(loss()), net(torch.tensor(FRESH)).detach().numpy()[:, 0]))
    return min(runs, key=lambda run: run[0])[1]


def pursuit(y: Array) -> Array:
    from skpp import ProjectionPursuitRegressor

    return ProjectionPursuitRegressor(r=6).fit(X, y).predict(FRESH)


def openturns(y: Array) -> Array:
    """Polynomial chaos by least squares, of the degree that suits best: the truth chooses, in its favour."""
    import openturns as ot

    law = ot.JointDistribution([ot.Normal()] * DIM)
    basis = ot.OrthogonalProductPolynomialFactory([ot.HermiteFactory()] * DIM)
    answers = []
    for degree in (2, 3, 4):
        terms = basis.getEnumerateFunction().getStrataCumulatedCardinal(degree)
        strategy = ot.FixedStrategy(basis, terms), ot.LeastSquaresStrategy()
        fit = ot.FunctionalChaosAlgorithm(ot.Sample(X), ot.Sample(y[:, None]), law, *strategy)
        fit.run()
        answers.append(np.array(fit.getResult().getMetaModel()(ot.Sample(FRESH)))[:, 0])
    return min(answers, key=error)


def error(answers: Array) -> float:
    truth = f(FRESH)
    return float(np.mean((answers - truth) ** 2) / truth.var())


def spans(y: Array) -> dict[str, Array]:
    """Directions by statsmodels, and by sliced where that runs."""
    from statsmodels.regression import dimred

    found = {
        "SIR": dimred.SlicedInverseReg(y, X).fit(slice_n=ROWS // 10).params,
        "SAVE": dimred.SlicedAverageVarianceEstimation(y, X).fit(slice_n=ROWS // 10).params,
        "PHD": dimred.PrincipalHessianDirections(y, X).fit().params,
    }
    try:
        import sliced
    except ImportError as reason:
        print(f"sliced does not start: {reason}")
        return found
    for method in (sliced.SlicedInverseRegression, sliced.SlicedAverageVarianceEstimation):
        found[method.__name__] = method(n_directions=3).fit(X, y).directions_.T
        print(f"{method.__name__} by itself takes {len(method().fit(X, y).directions_)} of 3 directions")
    return found


METHODS: dict[str, Callable[[Array], Array]] = {
    "relucli": relucli,
    "scikit-learn": scikit_learn,
    "torch": torch_lbfgs,
    "projection-pursuit": pursuit,
    "openturns": openturns,
}


def main() -> None:
    warnings.simplefilter("ignore")
    print(f"noisy: limit {SHARE**2 * 3 * (DIM + 1) / ROWS:.1e}")
    for package, fit in METHODS.items():
        print(f"{package} {version(package)}: noisy {error(fit(NOISY)):.1e}, without noise {error(fit(EXACT)):.1e}")
    print(f"statsmodels {version('statsmodels')}")
    for name, basis in spans(NOISY).items():
        overlap = W @ np.linalg.qr(np.real(basis)[:, :3])[0]
        print(f"{name}: cosine {np.linalg.svd(overlap, compute_uv=False)[-1]:.3f}")


if __name__ == "__main__":
    main()
