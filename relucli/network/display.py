"""Networks for people to read: a table of neurons, as text and as HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from relucli.errors import printable
from relucli.network.comparison import angle_words
from relucli.quantities import counted, number, with_error

if TYPE_CHECKING:
    from relucli.network.relu import ReluNetwork

__all__ = ["Column", "as_html", "as_text", "input_name", "largest_weights", "neuron_columns", "summary"]

LARGEST_WEIGHTS = 2
SHOWN = 20
LONGEST_NAME = 24
_LINE = "1px solid rgba(127,127,127,.5)"  # seen on light and on dark pages; all other colours are the page's


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    heading : str
    cells : list of str
    words : bool
        Whether cells are words, to be aligned left, or numbers.
    """

    heading: str
    cells: list[str]
    words: bool = False


def neuron_columns(
    network: ReluNetwork, errors: Mapping[str, Any] | None = None, largest: int = LARGEST_WEIGHTS
) -> list[Column]:
    """The neurons of a network, a row for each.

    Parameters
    ----------
    network : ReluNetwork
    errors : mapping, optional
        Standard errors, by the names that they have in a network file; of directions, the angle that 95 % of estimates
        stay within.
    largest : int
        Weights to write out of each neuron, the largest first.
    """
    known, unknown = errors or {}, [math.nan] * network.neurons
    angles = known.get("weight_within", unknown)

    def valued(name: str, values: Iterable[float], error: str) -> Column:
        pairs = zip(values, known.get(error, unknown), strict=True)
        return Column(name, [with_error(float(value), float(spread)) for value, spread in pairs])

    table = [Column("neuron", [str(i) for i in range(network.neurons)])]
    table += [valued("coefficient", network.coefficients, "coefficient_errors")]
    if network.biases.any():
        table += [valued("bias", network.biases, "bias_errors")]
    if any(map(math.isfinite, angles)):
        within = [angle_words(float(angle)) if math.isfinite(angle) else "-" for angle in angles]
        table += [Column("direction (95%)", within, words=True)]
    shown = ["  ".join(largest_weights(network, i, largest)) for i in range(network.neurons)]
    return [*table, Column("largest weights", shown, words=True)]


def input_name(network: ReluNetwork, j: int) -> str:
    """What an input is called, on one line and not too long: its name where that is known, else its number."""
    if not network.columns:
        return f"x{j}"
    name = printable(network.columns[j]) or f"x{j}"
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."


def largest_weights(network: ReluNetwork, neuron: int, count: int) -> list[str]:
    """The largest weights of a neuron, with the names of their inputs: ``+0.800 x3``."""
    weights = network.weights[neuron]
    top = abs(weights).argsort(kind="stable")[::-1][:count]
    return [f"{weights[j]:+.3f} {input_name(network, int(j))}" for j in top]


def summary(network: ReluNetwork) -> str:
    """What a network is, in a line: ``3 neurons of 30 inputs, offset 0.5``."""
    parts = [f"{counted(network.neurons, 'neuron')} of {counted(network.dim, 'input')}"]
    parts += [f"a linear part of length {number(math.hypot(*network.linear))}"] if network.linear.any() else []
    parts += [f"offset {number(network.offset)}"] if network.offset else []
    return ", ".join(parts)


def as_text(title: str, table: Sequence[Column], notes: Iterable[str] = ()) -> str:
    """A title, a table of at most twenty rows and some notes, as lines of text."""
    rows = len(table[0].cells)
    lines = [title]
    if rows:
        columns = []
        for column in table:
            cells = [column.heading, *column.cells[:SHOWN]]
            width = max(map(len, cells))
            columns.append([cell.ljust(width) if column.words else cell.rjust(width) for cell in cells])
        lines += [("  " + "  ".join(row)).rstrip() for row in zip(*columns, strict=True)]
    return "\n".join([*lines, *_more(rows), *notes])


def as_html(title: str, table: Sequence[Column], notes: Iterable[str] = ()) -> str:
    """The same as a compact piece of HTML, in the colours of the page that it appears on."""
    rows = len(table[0].cells)
    body = ""
    if rows:
        head = "".join(_cell("th", column, column.heading) for column in table)
        cells = [[_cell("td", column, cell) for cell in column.cells[:SHOWN]] for column in table]
        lines = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*cells, strict=True))
        body = (
            '<table style="border-collapse:collapse;color:inherit;margin:.3em 0;white-space:nowrap">'
            f'<thead style="border-bottom:{_LINE}"><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'
        )
    after = "".join(f"<div>{escape(note.replace('+-', '±'))}</div>" for note in [*_more(rows), *notes])
    return f'<div style="font-size:90%;color:inherit"><strong>{escape(title)}</strong>{body}{after}</div>'


def _more(rows: int) -> list[str]:
    return [f"... and {rows - SHOWN} more"] if rows > SHOWN else []


def _cell(tag: str, column: Column, text: str) -> str:
    align = "left" if column.words else "right"
    return f'<{tag} style="text-align:{align};padding:.1em .7em">{escape(text.replace("+-", "±"))}</{tag}>'
