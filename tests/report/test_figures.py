from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from matplotlib.image import imread

from relucli.errors import UsageError
from relucli.network import Match, ReluNetwork
from relucli.report import panels
from relucli.report.figures import FIGURES, figure
from relucli.report.material import Eigenvalues, Material
from relucli.report.style import save
from relucli.storage.results import NetworkFile


def drawn(name, material):
    canvas = Canvas()
    FIGURES[name].paint(canvas, material)
    return canvas.axes


def line(axes, label):
    (found,) = [item for item in axes.lines if item.get_label() == label]
    return found.get_xdata(), found.get_ydata()


@pytest.fixture
def plain():
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    return Material("net.h5", NetworkFile(ReluNetwork(weights, np.array([3.0, -2.0, 1.0]))))


def test_eigenvalues_above_and_within_noise(plain):
    known = Eigenvalues(np.array([9.0, 4.0, 2.0, 1.0]), 3.0, np.array([8.0, -1.0, 1.0, 0.5]), np.array([10.0, 5, 3, 2]))
    (axes,) = drawn("eigenvalues", replace(plain, eigenvalues=known))
    np.testing.assert_array_equal(line(axes, "above noise"), [[1, 2], [9, 4]])
    np.testing.assert_array_equal(line(axes, "within noise"), [[3, 4], [2, 1]])
    assert line(axes, "noise reaches")[1] == [3.0, 3.0]
    (bands,) = axes.collections
    ends = np.array(bands.get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, [[8, 10], [1 / 3, 5], [1, 3], [0.5, 2]])


def test_the_path_marks_the_chosen_model(plain):
    columns = {
        "neurons": [1, 2, 3],
        "validation_mse": [5.0, 2.0, 2.0],
        "validation_se": [0.1] * 3,
        "polished": [0, 1, 1],
    }
    table = {name: np.array(column) for name, column in columns.items()}
    file = replace(plain.file, path=table, diagnostics={"noise_std": 1.5})
    (axes,) = drawn("path", replace(plain, file=file))
    np.testing.assert_array_equal(line(axes, "chosen"), [[3], [2]])
    np.testing.assert_array_equal(line(axes, "fitted in all dimensions"), [[2], [2]])
    np.testing.assert_array_equal(line(axes, "on the span only"), [[1], [5]])
    assert line(axes, "residual variance")[1] == [2.25, 2.25]


def test_bars_are_weights(plain):
    first, second, third = drawn("neurons", plain)
    assert [bar.get_height() for bar in second.patches] == [0, 1]
    assert [bar.get_height() for bar in third.patches] == [0, -1]
    assert first.get_title() == "neuron 0: coefficient 3"


def test_of_many_inputs_and_neurons_the_largest_are_shown():
    rng = np.random.default_rng(0)
    weights = 0.01 * rng.standard_normal((20, 100))
    weights[:, 90] = 1
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    material = Material("net.h5", NetworkFile(ReluNetwork(weights, np.arange(1.0, 21.0))))
    axes = drawn("neurons", material)
    assert [item.get_title().split(":")[0] for item in axes] == [f"neuron {i}" for i in range(12, 20)]
    assert all(len(item.patches) == panels.MOST_INPUTS for item in axes)
    tallest = [max(bar.get_height() for bar in item.patches) for item in axes]
    assert tallest == list(weights[12:, 90])


def test_angles_are_of_lines_and_exact_for_close_ones():
    tiny = 1e-9
    weights = np.array([[1.0, 0.0], [np.cos(tiny), np.sin(tiny)], [0.0, -1.0], [-1.0, 0.0]])
    found = panels.line_angles(weights)
    assert found[0, 1] == pytest.approx(np.degrees(tiny), rel=1e-6)
    assert found[0, 2] == pytest.approx(90)
    assert found[0, 3] == 0


def test_the_map_of_angles_holds_them(plain):
    axes = drawn("angles", plain)[0]
    shown = axes.images[0].get_array()
    np.testing.assert_allclose(shown[0, 1:], [90, 90])
    assert shown[1, 2] == 0
    assert np.ma.getmaskarray(np.ma.masked_invalid(shown)).diagonal().all()
    assert sorted(text.get_text() for text in axes.texts) == ["0", "0", "90", "90", "90", "90"]


def test_densities_are_the_counts(material):
    axes = drawn("predicted", material)[0]
    shown = axes.images[0].get_array()
    np.testing.assert_array_equal(shown.filled(0), material.rows.fit.T)
    assert shown.sum() == material.rows.fit.sum() > 0.99 * 20_000
    first, second = drawn("summary", material)[:2]
    np.testing.assert_array_equal(first.images[0].get_array().filled(0), material.rows.summary[0].T)
    np.testing.assert_array_equal(second.images[0].get_array().filled(0), material.rows.summary[1].T)


def test_means_along_a_direction_are_those_of_the_labels():
    counts = np.array([[0.0, 10.0], [5.0, 5.0], [4.0, 0.0]])
    middle, means = panels.summary_means(counts, np.array([0.0, 1, 2, 3]), np.array([0.0, 2.0, 4.0]))
    np.testing.assert_array_equal(middle, [0.5, 1.5])
    np.testing.assert_array_equal(means, [3.0, 2.0])


def test_residuals_lie_on_the_fitted_relu_with_its_kink(material):
    axes = drawn("residuals", material)
    assert len(axes) == 2
    for i, item in enumerate(axes):
        z, mean, se = material.rows.residuals(i)
        dots = item.containers[0].lines[0]
        np.testing.assert_array_equal([dots.get_xdata(), dots.get_ydata()], [z, mean])
        kink, fitted = item.lines[:2]
        assert kink.get_xdata()[0] == -material.network.biases[i]
        wanted = material.network.coefficients[i] * np.maximum(z + material.network.biases[i], 0)
        drawn_relu = np.interp(z, fitted.get_xdata(), fitted.get_ydata())
        np.testing.assert_allclose(drawn_relu, wanted, atol=1e-12)
        # The network fits, so the residuals agree with it: sum of z^2 of m bins within six sigma, away from the kink.
        away = np.abs(z) > 0.3
        chi2 = (((mean - wanted) / se)[away] ** 2).sum()
        assert chi2 < away.sum() + 6 * np.sqrt(2 * away.sum())


def test_coverage_counts_errors_over_their_limits(plain):
    errors = {"coefficient_errors": np.array([0.1, 0.1, 0.0]), "weight_within": np.array([0.01, 0.02, np.nan])}
    matches = (Match(0, 1, 0.03, -0.0196, 0.0), Match(1, 0, 0.005, 0.098, 0.0), Match(2), Match(3, 2, 0.1, 0.1, 0.0))
    material = replace(plain, file=replace(plain.file, errors=errors), matches=matches)
    ratios = panels.coverage_ratios(material)
    assert ratios == {"coefficients": pytest.approx([0.1, 0.5]), "directions": pytest.approx([1.5, 0.5])}
    (axes,) = drawn("coverage", material)
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "coefficients\n2 of 2 within",
        "directions\n1 of 2 within",
    ]


def test_planted_values_stand_beside_their_intervals(material):
    left, right = drawn("errors", material)
    by_student = {found.student: found for found in material.matches}
    diamonds = [item for item in left.lines if item.get_marker() == "D"]
    assert [item.get_xdata()[0] for item in diamonds] == [-by_student[i].coefficient_error for i in range(2)]
    angles = [item for item in right.lines if item.get_marker() == "D"]
    assert [item.get_xdata()[0] for item in angles] == [by_student[i].angle for i in range(2)]
    (bars,) = left.containers
    (segments,) = bars.lines[2]
    half = [s[1, 0] for s in segments.get_segments()]
    np.testing.assert_allclose(half, 1.96 * material.file.errors["coefficient_errors"])


def test_p_values_of_the_dimension(plain):
    tests = [{"dim": 0, "statistic": 9.0, "p_value": 0.01}, {"dim": 1, "statistic": 2.0, "p_value": 0.4}]
    (axes,) = drawn("dimension", replace(plain, dimension={"tests": tests, "level": 0.1}))
    assert list(axes.lines[0].get_ydata()) == [0.01, 0.4]
    assert line(axes, "level 0.1")[1] == [0.1, 0.1]


@pytest.mark.parametrize("name", ["eigenvalues", "path", "predicted", "residuals", "errors", "coverage", "dimension"])
def test_a_figure_says_what_it_needs(plain, name):
    with pytest.raises(UsageError, match=rf"^figure {name} needs .+"):
        figure(name, plain)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (0.005, "0.005"),
        (1000.0, "1000"),
        (1e4, "10⁴"),
        (2e5, "2·10⁵"),
        (1e-7, "10⁻⁷"),
        (1.5e-5, "1.5·10⁻⁵"),
    ],
)
def test_ticks_are_plain_text(value, text):
    assert panels._power(value) == text


def test_labels_of_wide_ticks_are_not_cut_off(material, tmp_path):
    rows = replace(material.rows, label_edges=np.linspace(-3.75, 15.5, len(material.rows.label_edges)))
    wide, figure = replace(material, rows=rows), FIGURES["predicted"]
    save(tmp_path / "predicted.png", figure.painter(wide), figure.height(wide), ".png")
    ink = imread(tmp_path / "predicted.png")[..., :3].min(axis=(0, 2)) < 0.9
    assert ink.any()
    assert not ink[:8].any()
    assert not ink[-4:].any()
