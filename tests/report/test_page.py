from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from relucli.report.figures import FIGURES
from relucli.report.page import page
from relucli.report.style import inline
from relucli.storage.schema import Provenance

VOID = {"meta", "br", "hr", "img", "link", "input"}
DIM = {
    "dimension": 1,
    "level": 0.05,
    "null": 50.0,
    "eigenvalues": [{"value": 900.0, "low": 800.0, "high": 1000.0}, {"value": 20.0, "low": 10.0, "high": 30.0}],
    "tests": [{"dim": 0, "statistic": 900.0, "p_value": 0.005}, {"dim": 1, "statistic": 30.0, "p_value": 0.4}],
}


class Tree(HTMLParser):
    """Checks that elements nest, and gathers them with their attributes and the text of the page."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.found, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(html):
    tree = Tree()
    tree.feed(html)
    tree.close()
    assert tree.open == []
    return tree


@pytest.fixture(scope="module")
def html(material):
    return page(replace(material, dimension=DIM), "relucli report net.h5 -o report.html")


def test_every_figure_is_there_with_a_caption(html):
    tree = parsed(html)
    assert [a["id"] for tag, a in tree.found if tag == "figure"] == [f"figure-{name}" for name in FIGURES]
    assert sum(tag == "figcaption" for tag, _ in tree.found) == len(FIGURES)
    drawn = [a for tag, a in tree.found if tag == "svg"]
    assert [a["aria-label"] for a in drawn] == [figure.title for figure in FIGURES.values()]
    assert not [a for a in drawn if "width" in a or "height" in a]


def test_nothing_is_taken_from_elsewhere(html):
    tree = parsed(html)
    assert {"script", "link", "iframe", "object"} & {tag for tag, _ in tree.found} == set()
    assert "//" not in re.sub(r"data:image/png;base64,[A-Za-z0-9+/=\s]+", "", html)
    references = [a[key] for _, a in tree.found for key in ("href", "xlink:href", "src") if key in a]
    assert all(reference.startswith(("#", "data:image/png;base64,")) for reference in references)
    assert not re.search(r"url\((?!#)|@import", html)


def test_identifiers_are_unique_and_references_lead_to_them(html):
    tree = parsed(html)
    known = [a["id"] for _, a in tree.found if "id" in a]
    assert len(known) == len(set(known))
    used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', html)
    assert {a or b for a, b in used} <= set(known)


def test_the_page_is_made_for_phones_paper_and_the_dark(html):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert "@media print" in html
    assert "prefers-color-scheme: dark" in html
    assert "#20242a" not in html.split("</style>")[1], "text of a figure that stays dark on a dark page"


def test_it_says_in_words_what_was_found(material, html):
    text = " ".join("".join(parsed(html).text).split())
    assert "The network has 2 neurons over 5 inputs." in text
    assert "It was learned from 20,000 rows" in text
    assert "On the 20,000 rows given, its root mean squared error is" in text
    assert "Permutation tests give the span 1 dimension." in text
    for item in material.file.diagnostics["findings"]:
        assert item["message"] in text
    assert "generate data.h5 --samples 20000" in text
    assert "relucli report net.h5 -o report.html" in text


def test_names_from_files_are_text_not_markup(material):
    hostile = '<script>alert("x")</script>&amp;$\\frac{1}{2}$'
    findings = [{"stage": hostile, "ok": False, "message": hostile}]
    diagnostics = material.file.diagnostics | {"findings": findings}
    material = replace(
        material,
        name=hostile,
        file=replace(material.file, diagnostics=diagnostics),
        sources=((hostile, Provenance(hostile, 1, hostile)), (hostile, None)),
    )
    tree = parsed(page(material, hostile))
    assert "script" not in {tag for tag, _ in tree.found}
    assert "".join(tree.text).count(hostile) >= 8


def test_without_data_it_says_what_is_left_out(material):
    bare = replace(material, rows=None, matches=(), teacher=None, population_error=None)
    tree = parsed(page(bare, ""))
    assert "Predicted against true: needs --data DATA.h5" in "".join(tree.text)
    assert "figure-predicted" not in [a.get("id") for _, a in tree.found]
    assert "figure-neurons" in [a.get("id") for _, a in tree.found]


def test_the_same_material_gives_the_same_drawing(material):
    first, second = (inline("s", FIGURES["summary"].painter(material), 3.0, "") for _ in range(2))
    assert first == second


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MEASURE = """
<script>
const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
const texts = [...document.querySelectorAll("figure svg text")];
const out = texts.filter(t => {
  const box = t.getBoundingClientRect(), svg = t.closest("svg").getBoundingClientRect();
  return box.width && (box.left < svg.left - 1 || box.right > svg.right + 1 || box.bottom > svg.bottom + 1);
}).map(t => t.textContent);
const small = texts.filter(t => t.getBoundingClientRect().height < 8).length;
const crossing = [];
for (const svg of document.querySelectorAll("figure svg")) {
  const boxes = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
  boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
    const w = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const h = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (w > 1 && h > 2) crossing.push(a + " / " + b);
  }));
}
const scrolled = [...document.querySelectorAll(".wide")].filter(d => d.scrollWidth > d.clientWidth)
  .map(d => d.textContent);
const svgs = document.querySelectorAll("figure svg").length;
document.title = JSON.stringify({wide, out, scrolled, small, crossing, svgs});
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium to open the page in")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_nothing_overflows_or_overlaps(html, tmp_path, width):
    (tmp_path / "report.html").write_text(html.replace("</body>", MEASURE + "</body>"), encoding="utf-8")
    found = in_browser(tmp_path / "report.html", width)
    assert found["svgs"] == len(FIGURES)
    assert found["wide"] <= 0
    assert found["scrolled"] == []
    assert found["out"] == []
    assert found["small"] == 0
    assert found["crossing"] == []


@pytest.mark.skipif(BROWSER is None, reason="no chromium to open the page in")
def test_long_names_wide_labels_and_nearly_equal_errors_have_room_on_a_phone(material, tmp_path):
    names = tuple(f"risk_factor_number_{i}_in_basis_points" for i in range(material.network.dim))
    network = replace(material.network, columns=names, biases=[0.123456, -0.123456], offset=5.0)
    errors = material.file.errors | {"weight_within": np.array([0.0024, 0.0032])}
    rows = replace(material.rows, label_edges=np.linspace(-3.5, 15.5, len(material.rows.label_edges)))
    file = replace(material.file, network=network, errors=errors)
    html = page(replace(material, file=file, rows=rows, teacher=None, matches=(), population_error=None), "relucli")
    assert "risk_factor_number_0_..." in html
    (tmp_path / "report.html").write_text(html.replace("</body>", MEASURE + "</body>"), encoding="utf-8")
    found = in_browser(tmp_path / "report.html", 390)
    assert (found["wide"], found["out"], found["small"], found["crossing"]) == (0, [], 0, [])
    assert found["scrolled"] == []


def in_browser(path, width):
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},2000", "--dump-dom"]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return json.loads(unescape(re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)[1]))
