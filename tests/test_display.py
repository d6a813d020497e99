"""How networks and what was learned show themselves."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from relucli.learning.pipeline import LearnOptions, learn
from relucli.learning.record import write
from relucli.network import ReluNetwork
from relucli.network.display import Column, as_html, as_text, neuron_columns, summary
from relucli.storage.dataset import MemoryRows
from relucli.storage.results import read_network
from relucli.storage.schema import Provenance
from relucli.streaming.fold import Engine
from relucli.synthesis import plant

NETWORK = ReluNetwork(np.array([[0.6, -0.8, 0.0], [0.0, 0.0, 1.0]]), np.array([2.0, -0.5]), np.array([0.0, 0.25]))


class Reader(HTMLParser):
    """Refuses tags that do not close in order, and collects the text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text = [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_network_shows_its_neurons():
    assert repr(NETWORK).splitlines() == [
        "ReluNetwork(2 neurons of 3 inputs)",
        "  neuron  coefficient  bias  largest weights",
        "       0            2     0  -0.800 x1  +0.600 x0",
        "       1         -0.5  0.25  +1.000 x2  +0.000 x1",
    ]


def test_biases_are_left_out_where_there_are_none_and_errors_shown_where_they_are_known():
    network = ReluNetwork(NETWORK.weights, NETWORK.coefficients)
    errors = {
        "weight_errors": np.array([5e-4, np.nan]),
        "weight_within": np.array([1e-3, np.nan]),
        "coefficient_errors": np.array([0.01, np.nan]),
    }
    table = {column.heading: column.cells for column in neuron_columns(network, errors)}
    assert list(table) == ["neuron", "coefficient", "direction (95%)", "largest weights"]
    assert table["coefficient"] == ["2.000 +- 0.010", "-0.5"]
    assert table["direction (95%)"] == ["1.0 mrad", "-"]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (ReluNetwork(np.empty((0, 1)), np.empty(0)), "0 neurons of 1 input"),
        (ReluNetwork(np.eye(1), np.ones(1), offset=-0.5), "1 neuron of 1 input, offset -0.5"),
        (
            ReluNetwork(np.eye(2), np.ones(2), linear=np.array([3.0, 4.0])),
            "2 neurons of 2 inputs, a linear part of length 5",
        ),
    ],
)
def test_a_network_in_a_line(network, words):
    assert summary(network) == words
    assert repr(network).startswith(f"ReluNetwork({words})")
    assert f"ReluNetwork: {words}" in Reader(network._repr_html_()).text


def test_long_tables_are_cut():
    table = [Column("n", [str(i) for i in range(23)])]
    lines = as_text("title", table).splitlines()
    assert lines[-2:] == ["  19", "... and 3 more"]
    assert len(lines) == 23
    assert "... and 3 more" in as_html("title", table)


def test_html_is_escaped_well_formed_and_takes_the_colours_of_the_page():
    html = as_html("<b>&", [Column("<th>", ["</td><script>"], words=True)], ["<i>1 +- 2</i>"])
    assert Reader(html).text == ["<b>&", "<th>", "</td><script>", "<i>1 ± 2</i>"]
    assert "<script" not in html
    assert "background" not in html


def test_what_was_learned_shows_errors_models_and_findings_also_from_its_file(tmp_path):
    net = plant("random", 5, 2, seed=1)
    x = np.random.default_rng(2).standard_normal((3000, 5))
    found = learn(
        MemoryRows(x, net(x) + 0.1 * np.random.default_rng(3).standard_normal(3000)), LearnOptions(2), Engine()
    )
    write(tmp_path / "net.h5", found, Provenance("relucli [made] <this>", 0))
    file = read_network(tmp_path / "net.h5")
    text = repr(found).splitlines()
    assert text[0] == "Learned(2 neurons of 5 inputs)"
    assert text[1].split()[:4] == ["neuron", "coefficient", "direction", "(95%)"]
    assert all("+-" in line for line in text[2:4])
    assert text[4] == f"fit: r2 {found.r2:.6f}, residual standard deviation {found.noise_std:.5g}, 3,000 rows"
    assert text[5].startswith("held-out mean squared error by neurons: ")
    assert [line.split()[1] for line in text[6:]] == [f"{item.stage}:" for item in found.findings]
    made = "made by: relucli [made] <this>"
    assert repr(file).splitlines() == ["NetworkFile(2 neurons of 5 inputs)", *text[1:4], made]
    assert Reader(file._repr_html_()).text[-1] == made
    assert {"Learned: 2 neurons of 5 inputs", "coefficient"} <= set(Reader(found._repr_html_()).text)
