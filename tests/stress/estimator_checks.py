"""The checks of scikit-learn with more parameters than `make test` has time for."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from relucli import ReluNetworkRegressor

MORE = [
    ReluNetworkRegressor(n_neurons=2),
    ReluNetworkRegressor(n_neurons=1, bias=True, loss="huber"),
    ReluNetworkRegressor(loss="huber"),
    ReluNetworkRegressor(bias=True),
    ReluNetworkRegressor(subspace="both"),
    ReluNetworkRegressor(discovery="iterative", max_neurons=3),
    ReluNetworkRegressor(whiten="on"),
    ReluNetworkRegressor(random_state=None, n_jobs=2),
]


@pytest.mark.filterwarnings("ignore::relucli.errors.RelucliWarning")
@parametrize_with_checks(MORE)
def test_every_check_of_scikit_learn(estimator, check):
    check(estimator)
