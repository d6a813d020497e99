"""The scikit-learn face of `learn`: a regressor, and a transformer to the hidden activations."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from relucli.api.common import Data, engine_for, in_parameters, opened, paths_in, workers_for
from relucli.api.networks import evaluate, learn
from relucli.errors import RelucliWarning, UnsupportedError, UsageError
from relucli.learning.diagnose import Finding
from relucli.learning.fallback import fit_linear
from relucli.learning.options import Discovery, LossName
from relucli.learning.pipeline import Learned
from relucli.learning.select import Model
from relucli.learning.subspace import Method, Whitening
from relucli.network import ReluNetwork
from relucli.quantities import parse_memory
from relucli.storage.spool import Spool

__all__ = ["ReluNetworkRegressor"]

Floats = NDArray[np.float64]

KEPT = 0.25
"""Share of the memory bound that rows given to partial_fit may take before they go to disk."""


class ReluNetworkRegressor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RegressorMixin, BaseEstimator):
    """One-hidden-layer ReLU network, recovered from Gaussian data.

        y = offset + <linear, x> + sum_i coefficients_i relu(<weights_i, x> + biases_i) + noise

    Does what `relucli.learn` does: on the same rows and with the same seed both give the same network to the bit.
    Where that refuses since the rows cannot support a network, this warns (`RelucliWarning`) and fits a linear function
    by least squares or, where the labels do not depend on it beyond chance, their mean; ``supported_`` is then False.

    Parameters
    ----------
    n_neurons : int or "auto", default="auto"
        Auto lets validation choose.
    max_neurons : int, default=12
        Largest number that auto tries.
    bias : bool, default=False
        Whether neurons have biases, and the function an offset.  Labels whose mean no network without biases explains
        need it.
    subspace : {"sliced", "contracted", "both"}, default="sliced"
        Moments that find the span of the neurons.
    discovery : {"auto", "overcomplete", "iterative"}, default="auto"
        Route to the neurons on their span.
    whiten : {"auto", "on", "off"}, default="auto"
        Whether to whiten the inputs for the moments.
    n_starts : int, default=2
        Random starts of the discovery, and up to four times as many until the best is found twice.
    loss : {"squared", "huber"}, default="squared"
        huber stands heavy tails and a few percent of wrong labels.
    random_state : int, RandomState instance or None, default=0
        An integer is the seed of `relucli.learn`; from a generator, a seed is drawn at each fit.
    inputs, labels : str, default="x" and "y"
        Names of the datasets, where files are fitted.
    memory : int or str, default="512MiB"
        Working memory, in bytes or like "2GiB", for arrays that are given aside.
    n_jobs : int or None, default=None
        Threads: None is one, -1 all cores.  Results do not depend on it.

    Attributes
    ----------
    network_ : ReluNetwork
        What was fitted.
    weights_, coefficients_, biases_, linear_, offset_ : ndarray (k, d), (k,), (k,), (d,) and float
        Its parts; rows of ``weights_`` are unit vectors.
    weight_errors_, weight_within_, coefficient_errors_, bias_errors_, linear_errors_, offset_error_
        Standard errors, those of weights as angles in radians, and the angle that 95 % of estimates stay within; nan
        where unknown.
    path_ : tuple of Model
        The models considered, with their errors on held-out rows.
    findings_ : tuple of Finding
        What each stage saw.
    noise_std_, r2_ : float
        Residual standard deviation, and share of the label variance explained, on the rows fitted to.
    supported_ : bool
        Whether the rows support a network.
    n_samples_ : int
        Rows fitted to.
    n_features_in_, feature_names_in_ : as in scikit-learn

    Notes
    -----
    ``fit`` keeps no rows.  Learning passes over rows several times, so ``partial_fit`` keeps those that it is given,
    8 (d + 1) bytes each (4 d + 8 in float32): a quarter of ``memory`` in memory, the rest in a temporary folder.  The
    network is learned from all of them when it is next asked for, and is the one that ``fit`` would give.

    Examples
    --------
    >>> import relucli
    >>> teacher = relucli.plant("random", dim=5, neurons=2, seed=1)
    >>> X, y = relucli.sample(teacher, 2000, noise=0.1)
    >>> regressor = relucli.ReluNetworkRegressor(n_neurons=2).fit(X, y)
    >>> regressor.transform(X).shape
    (2000, 2)
    >>> bool(abs(regressor.noise_std_ - 0.1) < 0.01)
    True
    """

    _spool: Spool | None
    network_: ReluNetwork
    weights_: Floats
    coefficients_: Floats
    biases_: Floats
    linear_: Floats
    offset_: float
    weight_errors_: Floats
    weight_within_: Floats
    coefficient_errors_: Floats
    bias_errors_: Floats
    linear_errors_: Floats
    offset_error_: float
    path_: tuple[Model, ...]
    findings_: tuple[Finding, ...]
    noise_std_: float
    r2_: float
    supported_: bool
    n_samples_: int

    def __init__(
        self,
        n_neurons: int | Literal["auto"] = "auto",
        *,
        max_neurons: int = 12,
        bias: bool = False,
        subspace: Method = "sliced",
        discovery: Discovery = "auto",
        whiten: Whitening = "auto",
        n_starts: int = 2,
        loss: LossName = "squared",
        random_state: Any = 0,
        inputs: str = "x",
        labels: str = "y",
        memory: int | str = "512MiB",
        n_jobs: int | None = None,
    ) -> None:
        self.n_neurons = n_neurons
        self.max_neurons = max_neurons
        self.bias = bias
        self.subspace = subspace
        self.discovery = discovery
        self.whiten = whiten
        self.n_starts = n_starts
        self.loss = loss
        self.random_state = random_state
        self.inputs = inputs
        self.labels = labels
        self.memory = memory
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Recover the network behind some rows.

        Parameters
        ----------
        X : array_like (n, d), path, or list of paths
            Inputs, or HDF5 files of inputs and labels, which are read in blocks.
        y : array_like (n,)
            Labels; None where X names files.

        Returns
        -------
        self

        Warns
        -----
        RelucliWarning
            If the rows cannot support a network.

        Raises
        ------
        ValueError
            If X or y are not arrays of finite numbers in matching shapes.
        RelucliError
            If files cannot be read or used, or a parameter cannot be meant.
        """
        self._spool = None
        self.__dict__.pop("feature_names_in_", None)
        if not paths_in(X):
            self._learn(self._checked(X, y, reset=True))
            return self
        if y is not None:
            raise ValueError("y must be None where X names files: the labels are in the files")
        self._learn(X)
        self.n_features_in_ = self.network_.dim
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Add rows to those of the calls before; the network is learned from all of them when it is next asked for.

        Parameters
        ----------
        X : array_like, shape (n, d)
        y : array_like, shape (n,)

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X or y are not arrays of finite numbers in matching shapes.

        Warns
        -----
        RelucliWarning
            If ``fit`` came before: its rows are not among them, since it keeps none.
        """
        spool = vars(self).get("_spool")
        if spool is None and "network_" in vars(self):
            text = "fit kept no rows that partial_fit could add to: what it learned gives way to these rows alone"
            warnings.warn(text, RelucliWarning, stacklevel=2)
        X, y = self._checked(X, y, reset=spool is None)
        spool = self._spool = spool or Spool(int(KEPT * parse_memory(str(self.memory))))
        spool.append(X, y)
        for name in _FITTED:
            self.__dict__.pop(name, None)
        return self

    def predict(self, X: Any) -> Floats:
        """Values of the network, (n,), at inputs (n, d)."""
        x = self._inputs(X)
        return self.network_(x)

    def transform(self, X: Any) -> Floats:
        """Hidden activations relu(<weights_i, x> + biases_i), (n, k), at inputs (n, d)."""
        x = self._inputs(X).astype(np.float64, copy=False)
        return np.asarray(np.maximum(x @ self.weights_.T + self.biases_, 0.0))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """R^2 on arrays or, where X names files, on their rows, read in blocks."""
        if not paths_in(X):
            return float(super().score(X, y, sample_weight))
        if y is not None or sample_weight is not None:
            raise ValueError("y and sample_weight must be None where X names files: the labels are in the files")
        check_is_fitted(self)
        where: Any = {"inputs": self.inputs, "labels": self.labels}
        r2 = evaluate(self.network_, X, **where, workers=workers_for(self.n_jobs), memory=self.memory).score.r2
        return float("nan") if r2 is None else r2

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Arrays of finite numbers: rows one after the other, so that sums do not depend on how X is stored."""
        floats = [np.float64, np.float32]
        checked: tuple[Any, Any] = validate_data(self, X, y, dtype=floats, order="C", y_numeric=True, reset=reset)
        return checked

    def _inputs(self, X: Any) -> Any:
        check_is_fitted(self)
        if paths_in(X):
            raise ValueError("this takes an array: for files there is score, and relucli predict in the shell")
        return validate_data(self, X, dtype=[np.float64, np.float32], reset=False)

    def _learn(self, data: Data) -> None:
        workers = workers_for(self.n_jobs)
        try:
            found = learn(
                data,
                self.n_neurons,
                max_neurons=self.max_neurons,
                bias=self.bias,
                subspace=self.subspace,
                discovery=self.discovery,
                whiten=self.whiten,
                starts=self.n_starts,
                loss=self.loss,
                seed=self._seed(),
                inputs=self.inputs,
                labels=self.labels,
                workers=workers,
                memory=self.memory,
            )
        except UnsupportedError as error:
            self._fall_back(data, workers, in_parameters(str(error)))
        except UsageError as error:
            raise UsageError(in_parameters(str(error))) from error
        else:
            self._keep(found)

    def _keep(self, found: Learned) -> None:
        self._keep_network(found.network)
        for name, errors in found.errors.by_name().items():
            setattr(self, f"{name}_", errors)
        self.offset_error_ = found.errors.offset
        self.path_ = found.path
        self.findings_ = tuple(replace(item, message=in_parameters(item.message)) for item in found.findings)
        self.noise_std_, self.r2_ = found.noise_std, found.r2
        self.supported_, self.n_samples_ = True, found.samples

    def _fall_back(self, data: Data, workers: int, reason: str) -> None:
        """Fit what the rows do support, and say so."""
        with opened(data, self.inputs, self.labels) as rows:
            found, samples = fit_linear(rows, engine_for(workers, self.memory)), rows.samples
        fitted = "a linear function" if found.network.linear.any() else "the mean of the labels"
        message = f"{reason}; {fitted} was fitted in place of a network"
        warnings.warn(message, RelucliWarning, stacklevel=4)
        self._keep_network(found.network)
        self.weight_errors_ = self.weight_within_ = self.coefficient_errors_ = self.bias_errors_ = np.empty(0)
        self.linear_errors_, self.offset_error_ = np.full(found.network.dim, np.nan), float("nan")
        self.path_, self.findings_ = (), (Finding("fit", False, message),)
        self.noise_std_, self.r2_ = found.noise_std, found.r2
        self.supported_, self.n_samples_ = False, samples

    def _keep_network(self, network: ReluNetwork) -> None:
        network = self.network_ = replace(network, columns=getattr(self, "feature_names_in_", network.columns))
        self.weights_, self.coefficients_, self.biases_ = network.weights, network.coefficients, network.biases
        self.linear_, self.offset_ = network.linear, network.offset

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    @property
    def _n_features_out(self) -> int:
        return self.network_.neurons

    def __getattr__(self, name: str) -> Any:
        """Learn from the rows that partial_fit was given, when a result is asked for."""
        spool = vars(self).get("_spool")
        if name in _FITTED and spool is not None:
            with spool.rows() as rows:
                self._learn(rows)
            return vars(self)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_is_fitted__(self) -> bool:
        return "network_" in vars(self) or vars(self).get("_spool") is not None

    def __getstate__(self) -> Any:
        spool = vars(self).get("_spool")
        if spool is not None and spool.on_disk:
            self.network_  # noqa: B018  # rows on disk stay here: a copy must have what was learned from them
        return super().__getstate__()


_FITTED = frozenset(ReluNetworkRegressor.__annotations__) - {"_spool"}
