import numpy as np
import pytest

from relucli.learning.pipeline import LearnOptions, learn
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine
from relucli.synthesis import plant

N, D = 8000, 10


def planted(family="random", k=3, noise=0.1, seed=0, draw=None):
    net = plant(family, D, k, seed=seed)
    rng = np.random.default_rng(seed + 100)
    x = rng.standard_normal((N, D)) if draw is None else draw(rng)
    return net, x, net(x) + noise * rng.standard_normal(N)


def messages(x, y, **options):
    found = learn(MemoryRows(x, y), LearnOptions(**options), Engine())
    return {stage: [f for f in found.findings if f.stage == stage] for stage in {f.stage for f in found.findings}}


def test_nothing_is_wrong_with_good_data():
    _, x, y = planted()
    found = messages(x, y, neurons=3)
    assert all(item.ok for items in found.values() for item in items)
    assert found["inputs"][0].message == "standard normal as far as their kurtosis tells"
    assert found["span"][0].message.startswith("3 eigenvalues above noise: ")
    assert found["residual"][0].message.startswith("shows no neuron left out")
    assert found["identifiability"][0].message == f"every neuron stands on its own; {N / 30:.0f} rows a parameter"


def test_false_alarms_are_rare():
    # Six standard deviations of 16 draws: a false alarm in twenty tries would be far from chance.
    for seed in range(20):
        _, x, y = planted("random", 2, 0.3, seed)
        residual = messages(x, y, neurons=2)["residual"]
        assert [item.ok for item in residual] == [True]


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_neuron_left_out_is_seen_in_the_residual(noise):
    _, x, y = planted(noise=noise)
    found = messages(x, y, neurons=2)["residual"][0]
    assert not found.ok
    assert found.numbers["mean_z"] > 20
    assert "neurons may be missing; try a larger -k, or --bias" in found.message


def test_inputs_that_are_not_gaussian_are_named():
    _, x, y = planted(draw=lambda rng: rng.uniform(-(3**0.5), 3**0.5, (N, D)))
    found = messages(x, y, neurons=3)["inputs"][0]
    assert not found.ok
    assert found.numbers["kurtosis"] == pytest.approx(-1.2, abs=0.1)


def test_noise_that_depends_on_the_inputs_is_no_neuron():
    net, x, _ = planted()
    y = net(x) + 0.2 * np.random.default_rng(5).standard_normal(N) * np.exp(x[:, 0] / 2)
    found = messages(x, y, neurons=3)["residual"]
    assert found[0].ok
    assert found[1].message.startswith("its spread depends on the inputs")


def test_heavy_tails_ask_for_a_robust_loss():
    net, x, _ = planted()
    y = net(x) + 0.1 * np.random.default_rng(5).standard_t(3, N)
    assert messages(x, y, neurons=3)["residual"][-1].message.endswith("try --loss huber")
    assert all(item.ok for item in messages(x, y, neurons=3, loss="huber")["residual"])


def test_antipodal_pairs_are_named():
    _, x, y = planted("alternating", 8)
    found = messages(x, y, neurons=8)["identifiability"]
    assert [item.message.split(":")[0] for item in found] == ["a linear part"]


def test_few_rows_a_parameter_are_named():
    _, x, y = planted("positive", 3, noise=0.01)
    found = messages(x[:140], y[:140], neurons=3)["identifiability"]
    assert found[0].message == "only 4.7 rows a parameter"
