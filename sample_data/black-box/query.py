"""Ask the box: Gaussian inputs, and what it predicts for them.

    python query.py BOX.pickle QUERIES.h5 ROWS SPREAD SEED

Inputs are independent, with the means of the real ones and SPREAD times their standard deviations.
"""

import pickle
import sys

import h5py
import numpy as np
from sklearn.datasets import load_diabetes


def main(box: str, queries: str, rows: str, spread: str, seed: str) -> None:
    """Write x, the inputs, and y, the answers."""
    with open(box, "rb") as file:
        predict = pickle.load(file).predict  # all that is used of the box
    real = load_diabetes(scaled=False).data
    random = np.random.default_rng(int(seed))
    x = real.mean(axis=0) + float(spread) * real.std(axis=0) * random.standard_normal((int(rows), real.shape[1]))
    with h5py.File(queries, "w") as file:
        file["x"] = x
        file["y"] = predict(x)


if __name__ == "__main__":
    main(*sys.argv[1:])
