"""Networks as the weights of a PyTorch ``Sequential``, in a safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.extras import extra

__all__ = ["sequential_tensors"]


def sequential_tensors(arrays: Mapping[str, NDArray[Any]], provenance: Mapping[str, Any]) -> bytes:
    """The state of ``Sequential(Linear(d, h), ReLU(), Linear(h, 1))``.

    Such a network has no linear part: one that is not zero takes two hidden units more, <v, x> = relu(<v, x>) -
    relu(<-v, x>), which is exact in floating-point numbers too.  The metadata hold provenance and architecture as
    JSON, under the one key ``relucli``.

    Parameters
    ----------
    arrays : mapping of ndarray
        ``weights``, ``coefficients``, ``biases``, ``linear`` and ``offset``, of one dtype.
    provenance : mapping

    Returns
    -------
    bytes
        The content of a ``.safetensors`` file.

    Raises
    ------
    UsageError
        If the package safetensors is not installed.
    """
    save = extra("safetensors.numpy", "export").save
    weights, biases, output = arrays["weights"], arrays["biases"], arrays["coefficients"]
    linear = arrays["linear"]
    if linear.any() or not len(weights):
        weights = np.vstack([weights, linear, -linear])
        biases = np.append(biases, np.zeros(2, biases.dtype))
        output = np.append(output, np.array([1, -1], output.dtype))
    hidden, dim = weights.shape
    tensors = {
        "0.weight": weights,
        "0.bias": biases,
        "2.weight": output[None, :],
        "2.bias": arrays["offset"].reshape(1),
    }
    about = {"architecture": f"Sequential(Linear({dim}, {hidden}), ReLU(), Linear({hidden}, 1))", **provenance}
    # One key only: the library writes several in any order, and the same network should be the same file.
    content: bytes = save(
        {name: np.ascontiguousarray(t) for name, t in tensors.items()}, {"relucli": json.dumps(about)}
    )
    return content
