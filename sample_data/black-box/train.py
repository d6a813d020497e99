"""Train the box: scikit-learn's diabetes data, raw, to a model with one hidden layer.

python train.py BOX.pickle
"""

import pickle
import sys

from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

WIDTH = 8


def main(path: str) -> None:
    """Train, and pickle the model with its scalers."""
    x, y = load_diabetes(return_X_y=True, scaled=False)
    network = MLPRegressor(hidden_layer_sizes=(WIDTH,), solver="lbfgs", alpha=3.0, max_iter=5000, random_state=0)
    box = TransformedTargetRegressor(make_pipeline(StandardScaler(), network), transformer=StandardScaler())
    box.fit(x, y)
    with open(path, "wb") as file:
        pickle.dump(box, file)
    print(f"trained on {len(x)} patients: r2 {box.score(x, y):.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
