"""The report as one HTML file that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from relucli import __version__
from relucli.network import angle_words
from relucli.report.figures import FIGURES
from relucli.report.material import Material
from relucli.report.panels import shown
from relucli.report.style import COLOURS, inline
from relucli.report.words import said, signed, summary
from relucli.storage.atomic import atomic_output

__all__ = ["page", "write_page"]

DARK = {"ink": "#e3e7ec", "quiet": "#8b95a1", "main": "#56b4e9", "warm": "#f0883e", "cool": "#3fc495"}
GROUND = {"light": ("#ffffff", "#f3f5f7"), "dark": ("#14171b", "#1e2329")}
MOST_ROWS = 40
_OPTION = re.compile(r"--\w+(?: \w+\.\w+)?")

STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 44rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 1rem 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 0; }
p, figure { margin: .5rem 0; }
.quiet, figcaption { color: var(--quiet); font-size: .875rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 36rem; margin: 0 auto; }
svg text { font-family: inherit !important; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--panel); }
th { color: var(--quiet); font-weight: 500; }
th, td { white-space: nowrap; }
td.long { white-space: normal; min-width: 8rem; }
code { white-space: nowrap; }
.bad { color: var(--warm); font-weight: 600; }
pre { background: var(--panel); padding: .6rem .8rem; border-radius: .4rem; font-size: .8rem; white-space: pre-wrap; }
@media screen and (max-width: 36rem) {
  table { font-size: .8rem; }
  th, td { padding-right: .5rem; }
  .folded, .folded thead, .folded tbody { display: block; }
  .folded tr { display: grid; grid-template-columns: 1.5rem repeat(var(--columns), minmax(0, 1fr));
    border-bottom: 1px solid var(--panel); }
  .folded th, .folded td { border: none; white-space: normal; }
  .folded td.long { grid-column: 2 / -1; padding-top: 0; }
  .folded th:last-child { display: none; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; background: none; }
  figure, tr, pre { break-inside: avoid; }
  h2 { break-after: avoid; }
  figure svg { max-width: 12cm; }
  .wide { overflow: visible; }
}
"""


def write_page(path: Path, material: Material, command: str, force: bool = False) -> int:
    """Write the report on a material; returns its size in bytes.

    Parameters
    ----------
    path : Path
    material : Material
    command : str
        The command line that asked for it.
    force : bool
        Whether a file that exists may be replaced.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    content = page(material, command).encode("utf-8", "backslashreplace")
    with atomic_output(path, force) as temporary:
        temporary.write_bytes(content)
    return len(content)


def page(material: Material, command: str) -> str:
    """The report as HTML; all that comes from files is escaped."""
    parts = [_section("In short", _paragraphs(summary(material)))]
    missing = []
    for key, figure in FIGURES.items():
        if figure.there(material):
            caption = escape(figure.caption)
            drawing = inline(key, figure.painter(material), figure.height(material), escape(figure.title))
            block = f'<figure id="figure-{key}">{drawing}<figcaption>{caption}</figcaption></figure>'
            parts.append(_section(figure.title, block + _beside(key, material)))
        else:
            missing.append(f"{figure.title.rstrip('?')}: needs {figure.needs}")
    parts.append(_section("What each stage saw", _findings(material)))
    parts.append(_section("Files and the commands that made them", _made(material, command)))
    if missing:
        parts.append(_section("Not in this report", _items(missing)))
    name, title = escape(material.name), f"{material.name} - relucli report"
    made = f"A report of relucli {__version__} on a one-hidden-layer ReLU network."
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{_colours()}{STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{name}</h1>\n<p class="quiet">{escape(made)}</p>\n{"".join(parts)}</body>\n</html>\n'
    )


def _colours() -> str:
    """Variables of the page, for light and for dark; paper is light."""

    def variables(colours: dict[str, str], ground: str) -> str:
        known = colours | dict(zip(("ground", "panel"), GROUND[ground], strict=True))
        return ":root { " + " ".join(f"--{name}: {colour};" for name, colour in known.items()) + " }"

    dark = f"@media screen and (prefers-color-scheme: dark) {{ {variables(DARK, 'dark')} }}"
    return f"\n{variables(COLOURS, 'light')}\n{dark}"


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>\n"


def _paragraphs(sentences: Iterable[str]) -> str:
    return "".join(_tag("p", sentence) for sentence in sentences)


def _items(lines: Iterable[str]) -> str:
    """A list, in which options stay on one line."""
    return "<ul>" + "".join(_OPTION.sub(r"<code>\g<0></code>", _tag("li", line)) for line in lines) + "</ul>"


def _tag(tag: str, text: str, kind: str = "") -> str:
    """Text in an element, escaped."""
    return f'<{tag} class="{kind}">{escape(text)}</{tag}>' if kind else f"<{tag}>{escape(text)}</{tag}>"


def _table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], marked: Collection[int] = (), folded: bool = False
) -> str:
    """A table of text, whose last column may wrap; the cells before it stand out in the rows that are marked.

    With ``folded``, the last column goes below the others on a phone.
    """
    head = "".join(_tag("th", heading) for heading in headings)
    lines = []
    for i, row in enumerate(rows):
        cells = [_tag("td", cell, "bad" if i in marked else "") for cell in row[:-1]]
        lines.append(f"<tr>{''.join(cells)}{_tag('td', row[-1], 'long')}</tr>")
    kind = f' class="folded" style="--columns: {len(headings) - 2}"' if folded else ""
    table = f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _beside(key: str, material: Material) -> str:
    """What stands with a figure."""
    if key == "neurons":
        return _others(material) + _neurons(material)
    if key in {"residuals", "errors"}:
        return _others(material)
    if key == "dimension":
        tests = material.dimension["tests"]
        rows = [[f"at most {row['dim']}", f"{row['statistic']:.4g}", f"{row['p_value']:.3g}"] for row in tests]
        return _table(["the span has", "statistic", "p-value"], rows)
    outside = 0 if material.rows is None else material.rows.score.samples - int(material.rows.fit.sum())
    if key == "predicted" and outside:
        return _tag("p", f"{outside:,} rows lie outside of what is drawn.", "quiet")
    return ""


def _others(material: Material) -> str:
    """That not all neurons are drawn."""
    drawn, every = len(shown(material)), material.network.neurons
    return "" if drawn == every else _tag("p", f"Drawn are the {drawn} largest of {every} neurons.", "quiet")


def _neurons(material: Material) -> str:
    network, known = material.network, material.file.errors
    unknown = np.full(network.neurons, np.nan)
    names = ("coefficient_errors", "bias_errors", "weight_within")
    coefficient, bias, within = (known.get(name, unknown) for name in names)
    biased = bool(network.biases.any())
    rows = []
    for i in range(min(network.neurons, MOST_ROWS)):
        row = [str(i), said(float(network.coefficients[i]), float(coefficient[i]))]
        row += [said(float(network.biases[i]), float(bias[i]))] if biased else []
        row += [angle_words(float(within[i])) if np.isfinite(within[i]) else "unknown"]
        rows.append([*row, signed(network, i, 3)])
    headings = ["#", "coefficient", *(["bias"] if biased else []), "direction (95%)", "largest weights"]
    more = network.neurons - len(rows)
    return _table(headings, rows, folded=True) + (_tag("p", f"And {more} more.", "quiet") if more else "")


def _findings(material: Material) -> str:
    findings = material.file.diagnostics.get("findings", [])
    if not findings:
        return _tag("p", "The network file holds no findings: relucli learn writes them.")
    rows = [[str(item["stage"]), "ok" if item["ok"] else "look", str(item["message"])] for item in findings]
    return _table(["stage", "", "saw"], rows, [i for i, item in enumerate(findings) if not item["ok"]])


def _made(material: Material, command: str) -> str:
    parts = []
    for name, made in material.sources:
        if made is None:
            parts.append(_tag("p", f"{name}: no record of what made it."))
        else:
            parts += [_tag("h3", name), _tag("p", f"relucli {made.version}, seed {made.seed}", "quiet")]
            parts.append(_tag("pre", made.command))
    return "".join([*parts, _tag("h3", "This report"), _tag("pre", command)])
