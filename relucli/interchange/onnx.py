"""Networks as ONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.extras import extra

__all__ = ["OPSET", "onnx_model"]

# Of ONNX 1.6: old enough for every runtime in use, and the operators have not changed since in what matters here.
OPSET, IR_VERSION = 11, 6


def onnx_model(arrays: Mapping[str, NDArray[Any]], provenance: Mapping[str, Any]) -> bytes:
    """A model with one input ``x`` (batch, d) and one output ``y`` (batch, 1), both of the dtype of the arrays.

    The hidden layer is Gemm and Relu, the output Gemm; a linear part that is not zero is added by MatMul and Add.

    Parameters
    ----------
    arrays : mapping of ndarray
        ``weights``, ``coefficients``, ``biases``, ``linear`` and ``offset``, of one dtype.
    provenance : mapping
        Kept as metadata of the model.

    Returns
    -------
    bytes
        The content of an ``.onnx`` file.

    Raises
    ------
    UsageError
        If the package onnx is not installed.
    """
    onnx = extra("onnx", "export")
    helper = onnx.helper
    dim = arrays["weights"].shape[1]
    kind = helper.np_dtype_to_tensor_dtype(arrays["weights"].dtype)
    nodes, constants = _graph(arrays, helper.make_node)
    graph = helper.make_graph(
        nodes,
        "relu_network",
        [helper.make_tensor_value_info("x", kind, ["batch", dim])],
        [helper.make_tensor_value_info("y", kind, ["batch", 1])],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="relucli")
    helper.set_model_props(model, {name: str(value) for name, value in provenance.items()})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _graph(arrays: Mapping[str, NDArray[Any]], node: Any) -> tuple[list[Any], dict[str, NDArray[Any]]]:
    """The operators, and the constants that they take."""
    linear, offset = arrays["linear"][:, None], arrays["offset"].reshape(1)
    if not len(arrays["weights"]):
        return [node("Gemm", ["x", "linear", "offset"], ["y"])], {"linear": linear, "offset": offset}
    constants = {
        "weights": arrays["weights"],
        "biases": arrays["biases"],
        "coefficients": arrays["coefficients"][:, None],
        "offset": offset,
    }
    straight = bool(linear.any())
    nodes = [
        node("Gemm", ["x", "weights", "biases"], ["z"], transB=1),
        node("Relu", ["z"], ["hidden"]),
        node("Gemm", ["hidden", "coefficients", "offset"], ["relus" if straight else "y"]),
    ]
    if straight:
        constants["linear"] = linear
        nodes += [node("MatMul", ["x", "linear"], ["plane"]), node("Add", ["relus", "plane"], ["y"])]
    return nodes, constants
