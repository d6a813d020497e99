"""A book of options on six risk factors, and the profit and loss that its pricing engine reports for scenarios.

    python book.py BOOK.h5 SCENARIOS.h5 [ROWS]

The book goes into a file of its own, to compare with; SCENARIOS.h5 holds x, the factors, and y, the value of the book.
"""

import sys

import h5py
import numpy as np

FACTORS = ["index", "oil", "gas", "EUR/USD", "rate", "inflation"]  # points, dollars, dollars, cents, and basis points
MEAN = np.array([100.0, 80.0, 60.0, 110.0, 350.0, 250.0])
SPREAD = np.array([15.0, 18.0, 20.0, 8.0, 80.0, 60.0])
CORRELATION = np.array(
    [
        [1.0, 0.2, 0.1, 0.3, -0.4, -0.2],
        [0.2, 1.0, 0.6, 0.1, 0.2, 0.5],
        [0.1, 0.6, 1.0, 0.0, 0.1, 0.4],
        [0.3, 0.1, 0.0, 1.0, -0.3, -0.1],
        [-0.4, 0.2, 0.1, -0.3, 1.0, 0.6],
        [-0.2, 0.5, 0.4, -0.1, 0.6, 1.0],
    ]
)

# quantity, weights and strike of max(weights . x - strike, 0); a put is a call on minus its underlying.
POSITIONS = [
    (+2.0, [1, 0, 0, 0, 0, 0], 105.0),  # index calls, long
    (-1.5, [-1, 0, 0, 0, 0, 0], -90.0),  # index puts, short
    (+1.0, [0, 1, -1, 0, 0, 0], 15.0),  # oil over gas, long
    (-4.0, [0, 0, 0, 1, 0, 0], 112.0),  # EUR calls, short
    (+0.3, [0, 0, 0, 0, 1, -1], 80.0),  # real rate cap, long
]
ENGINE_NOISE = 2.0  # the engine prices by Monte Carlo


def main(book: str, scenarios: str, rows: str = "100000") -> None:
    """Write the book and its scenarios."""
    quantity, weights, strike = (np.array(column, dtype=float) for column in zip(*POSITIONS, strict=True))
    length = np.linalg.norm(weights, axis=1)  # relucli speaks of unit weights: q max(w.x - K, 0) is q|w| max(...)
    with h5py.File(book, "w") as file:
        file["weights"] = weights / length[:, None]
        file["coefficients"] = quantity * length
        file["biases"] = -strike / length
    random = np.random.default_rng(1)
    x = random.multivariate_normal(MEAN, CORRELATION * np.outer(SPREAD, SPREAD), int(float(rows)), method="cholesky")
    value = np.maximum(x @ weights.T - strike, 0) @ quantity
    with h5py.File(scenarios, "w") as file:
        file["x"] = x
        file["y"] = value + ENGINE_NOISE * random.standard_normal(len(x))


if __name__ == "__main__":
    main(*sys.argv[1:])
