"""Students and inputs to try linear algebra on."""

import numpy as np

from relucli.learning.structured import Metric
from relucli.learning.student import Student

CASES = [(False, "none"), (False, "all"), (True, "offset"), (True, "all")]
"""Whether there are biases, and which components of the linear part are free."""

METRICS = ["standard", "scaled", "correlated"]


def planted(rng, m, d, bias, free):
    p = d + bias
    indices = {"none": (), "offset": range(d, p), "all": range(p)}[free]
    linear = rng.standard_normal(p) if free == "all" else np.where(np.arange(p) < d, 0.0, 0.4)
    signs = rng.choice([-1.0, 1.0], m)
    return Student(rng.standard_normal((m, p)), signs, linear, np.array(indices, dtype=np.intp))


def metric_of(rng, d, kind):
    if kind == "standard":
        return Metric.standard(d)
    mean = 0.3 * rng.standard_normal(d)
    if kind == "scaled":
        return Metric(mean, np.geomspace(0.3, 3, d))
    return Metric(mean, np.linalg.cholesky(np.cov(rng.standard_normal((d, 3 * d)))))


def draw(rng, n, metric):
    z = rng.standard_normal((n, len(metric.mean)))
    return metric.mean + (z * metric.root if metric.root.ndim == 1 else z @ metric.root.T)
