"""The box beside what was read out of it: the ONNX file, run by onnxruntime.

python compare.py BOX.pickle NET.onnx FRESH.h5
"""

import pickle
import sys

import h5py
import numpy as np
import onnxruntime
from sklearn.datasets import load_diabetes


def main(box: str, model: str, fresh: str) -> None:
    """Print the largest differences; fail where one is more than rounding."""
    with open(box, "rb") as file:
        predict = pickle.load(file).predict
    session = onnxruntime.InferenceSession(model)
    with h5py.File(fresh) as file:
        inputs = {"fresh Gaussian inputs": file["x"][:], "the 442 patients": load_diabetes(scaled=False).data}
    worst = 0.0
    for name, x in inputs.items():
        answers = predict(x)
        difference = np.abs(session.run(None, {"x": x})[0][:, 0] - answers).max()
        worst = max(worst, difference / np.abs(answers).max())
        print(f"{name}: answers from {answers.min():.1f} to {answers.max():.1f}, largest difference {difference:.1e}")
    if not worst < 1e-12:
        sys.exit("not equal: the box is not the network that was recovered")


if __name__ == "__main__":
    main(*sys.argv[1:])
