"""One look for all figures, and how a figure becomes a file or a part of a page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relucli.errors import UsageError
from relucli.extras import extra

__all__ = ["COLOURS", "Painter", "inline", "save", "shades", "suffix_of"]

# Okabe and Ito's colours can be told apart by people with any form of colour blindness.
COLOURS = {"ink": "#20242a", "quiet": "#7b838d", "main": "#0072b2", "warm": "#d55e00", "cool": "#009e73"}
"""By the name of the variable of the page that takes the colour's place in an inline figure."""

WIDTH = 4.6
FORMATS = (".png", ".svg", ".pdf")
STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": COLOURS["quiet"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlecolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "text.parse_math": False,
    "xtick.color": COLOURS["quiet"],
    "ytick.color": COLOURS["quiet"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.labelcolor": COLOURS["ink"],
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "savefig.dpi": 200,
    "svg.hashsalt": "relucli",
}

Painter = Callable[[Any], None]
"""Draws on an empty figure of matplotlib."""


def shades(colour: str) -> Any:
    """A colour map from nearly transparent to a colour: it reads on light and on dark ground, and in print."""
    colours = extra("matplotlib.colors", "report")
    red, green, blue = colours.to_rgb(colour)
    return colours.ListedColormap([(red, green, blue, 0.08 + 0.92 * i / 255) for i in range(256)])


def save(path: Path, paint: Painter, height: float, suffix: str) -> None:
    """Draw a figure into a file.

    Parameters
    ----------
    path : Path
        Where to.
    paint : callable
    height : float
        Inches.
    suffix : {".png", ".svg", ".pdf"}
        The format.
    """
    path.write_bytes(_drawn(paint, height, suffix.lstrip("."), transparent=False))


def inline(name: str, paint: Painter, height: float, description: str) -> str:
    """A figure as an svg element: sizes to its column, takes the colours of the page, and refers to nothing outside.

    Parameters
    ----------
    name : str
        Sets the identifiers of this figure apart from those of others on the page.
    paint : callable
    height : float
        Inches.
    description : str
        For those who cannot see it; HTML already.
    """
    text = _drawn(paint, height, "svg", transparent=True).decode()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r' (width|height)="[0-9.]+pt"', "", text, count=2)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for variable, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    return text.replace("<svg", f'<svg role="img" aria-label="{description}"', 1)


def suffix_of(output: Path) -> str:
    """The format that the name of a file asks for.

    Raises
    ------
    UsageError
        If it is none of .png, .svg and .pdf.
    """
    suffix = output.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"-o {output}: no such format; name a file that ends in .png, .svg or .pdf")
    return suffix


def _drawn(paint: Painter, height: float, kind: str, transparent: bool) -> bytes:
    """A figure in a format of matplotlib; the same bytes each time."""
    matplotlib = extra("matplotlib", "report")
    made = extra("matplotlib.figure", "report").Figure
    text = {"svg.fonttype": "none" if transparent else "path"}
    silent = {"svg": dict.fromkeys(["Creator", "Date", "Format", "Type"]), "pdf": {"CreationDate": None}}
    with matplotlib.rc_context(), io.BytesIO() as file:
        matplotlib.rcdefaults()  # the report is the same whatever the user's own settings are
        matplotlib.rcParams.update(STYLE | text)
        figure = made(figsize=(WIDTH, height), layout="constrained")
        paint(figure)
        figure.savefig(file, format=kind, transparent=transparent, metadata=silent.get(kind))
        return file.getvalue()
