from __future__ import annotations

import re
import sys

import pytest

FIGURES = "eigenvalues, path, neurons, angles, predicted, residuals, errors, coverage, summary, dimension"
DATASET = "a relucli-dataset file is wanted; check the order of files"
NOT_JSON = "not what relucli dimension --json prints; make it again"
WIDE = "5 inputs, but the network takes 4; do they belong together?"


def test_a_report_is_one_page(cli, pipeline):
    line = "report net.h5 --data data.h5 --data test.h5 --moments moments.h5 --teacher teacher.h5 -o report.html"
    done = cli(f"{line} --json")
    assert done.status == 0, done.stderr
    html = (pipeline / "report.html").read_text(encoding="utf-8")
    assert done.json["bytes"] == (pipeline / "report.html").stat().st_size
    assert done.json["samples"] == 6000
    assert set(re.findall(r'<figure id="figure-(\w+)"', html)) == set(FIGURES.split(", ")) - {"dimension"}
    assert line in html
    again = cli(line)
    assert (again.status, again.stderr) == (73, "relucli: report.html: exists already; pass --force to replace it\n")


def test_a_network_alone_has_a_report(cli, pipeline):
    assert cli("report net.h5 -o report.html -q").status == 0
    html = (pipeline / "report.html").read_text(encoding="utf-8")
    assert "figure-neurons" in html
    assert "figure-predicted" not in html


def test_a_network_of_others_has_a_report(cli, pipeline, foreign):
    foreign("other.h5", weights=[[0.6, 0.8], [1.0, 0.0]], coefficients=[1.0, -1.0])
    done = cli("report other.h5 -o report.html")
    assert (done.status, done.stderr) == (0, "")
    assert "other.h5: no record of what made it." in (pipeline / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_a_plot_is_a_file_of_the_format_that_it_is_named_after(cli, pipeline, suffix, begins):
    done = cli(f"plot net.h5 neurons -o fig{suffix} --json")
    assert done.json["paths"] == [f"fig{suffix}"]
    first = (pipeline / f"fig{suffix}").read_bytes()
    assert first.startswith(begins)
    assert cli(f"plot net.h5 neurons -o fig{suffix} -q --force").status == 0
    assert (pipeline / f"fig{suffix}").read_bytes() == first


def test_several_plots_are_several_files(cli, pipeline):
    assert cli("plot net.h5 path residuals --data data.h5 -o fig.svg -q").status == 0
    assert sorted(path.name for path in pipeline.glob("fig*")) == ["fig-path.svg", "fig-residuals.svg"]


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("plot net.h5 nothing -o a.png", 2, f"no figure nothing; there are {FIGURES}"),
        ("plot net.h5 path path -o a.png", 2, "figure path is named twice; name it once"),
        ("plot net.h5 path -o a.jpg", 2, "-o a.jpg: no such format; name a file that ends in .png, .svg or .pdf"),
        ("plot net.h5 path summary -o a.png", 2, "figure summary needs --data DATA.h5"),
        ("plot net.h5 path -o no/a.png", 73, "no/a.png: folder no does not exist; create it first"),
        ("report net.h5 --teacher no.h5 -o a.html", 66, "no.h5: no such file; check its name"),
        ("report net.h5 --data net.h5 -o a.html", 65, f"net.h5: a relucli-network file where {DATASET}"),
        ("report net.h5 --data wide.h5 -o a.html", 65, f"wide.h5: {WIDE}"),
        ("report net.h5 --dimension data.h5 -o a.html", 65, f"data.h5: {NOT_JSON}"),
        ("report net.h5 --dimension list.json -o a.html", 65, f"list.json: {NOT_JSON}"),
        ("report net.h5 -o net.h5 --force", 2, "net.h5 is both input and output; choose another output"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(cli, pipeline, foreign, line, status, message):
    foreign("wide.h5", x=[[1.0] * 5] * 9, y=[1.0] * 9)
    (pipeline / "list.json").write_text('{"eigenvalues": [1], "tests": [], "null": 1}')
    before = sorted(pipeline.iterdir())
    done = cli(line)
    assert (done.stdout, done.stderr, done.status) == ("", f"relucli: {message}\n", status)
    assert sorted(pipeline.iterdir()) == before


def test_without_matplotlib_it_says_what_to_install(cli, pipeline, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = cli("report net.h5 -o report.html")
    message = "this needs matplotlib, which is not installed; pip install 'relucli[report]'"
    assert (done.stderr, done.status) == (f"relucli: {message}\n", 2)
    assert not (pipeline / "report.html").exists()
