"""relucli beside its peers: Adam students, scikit-learn's MLPRegressor and statsmodels' span, on the same rows.

    pip install torch scikit-learn statsmodels matplotlib
    python tests/bench/peers.py [--only table|rows|separation] [--quick] [--redraw] [--out FOLDER]

Writes a table (peers.md, peers.json) and two pictures, of the error against the number of rows and of the success
against the separation of a close pair.  Takes some twenty minutes on two cores; ``--quick`` a minute, for a look.
"""

from __future__ import annotations

import argparse
import json
import platform
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from typing import Any

import matplotlib as mpl
import peer_methods
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from peer_methods import METHODS, Case, Problem, span_cosines
from PIL import Image

Record = dict[str, Any]

CASES = [
    Case("random", 50, 3, 20_000, 0.0),
    Case("alternating", 50, 8, 8_000, 0.0),
    Case("random", 20, 3, 4_000, 0.1),
    Case("positive", 50, 5, 50_000, 0.3),
    Case("planar", 20, 5, 20_000, 0.1),
    Case("close", 20, 3, 20_000, 0.1, 0.3),
    Case("close", 20, 3, 50_000, 0.1, 0.05),
    Case("alternating", 20, 8, 20_000, 0.1),
]
ROWS_CASES = [Case("random", 20, 3, 0, 0.1), Case("alternating", 20, 8, 0, 0.1)]
ROWS_RATIOS = [10, 30, 100, 300, 600]
SEPARATION_CASE = Case("close", 20, 3, 20_000, 0.03)
SEPARATIONS = [0.01, 0.02, 0.05, 0.1, 0.3, 1.0]
SEPARATION_METHODS = ["relucli", "Adam, k", "Adam, 4k"]
SEEDS = {"table": 3, "rows": 2, "separation": 6}

NEAR, SMALL = 2.0, 1e-3  # success: at most twice the limit, or this relative error without noise
ENOUGH_SECONDS = 10.0
COLOURS = ["#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7"]  # Okabe and Ito
MARKERS = "osD^v"
PACKAGES = ["relucli", "torch", "scikit-learn", "statsmodels", "numpy"]


def measure(job: tuple[Case, int, str]) -> Record:
    """One method on one case and seed."""
    case, seed, method = job
    problem = Problem.draw(case, seed)
    fit = METHODS[method](problem, case.k)
    error = problem.error(fit.predict)
    success = error <= NEAR * case.limit if case.share else error <= SMALL
    seconds = {"seconds": fit.seconds, "seconds_to_best": fit.best, "seconds_of_search": fit.search}
    return asdict(case) | {"seed": seed, "method": method, "error": error, "success": success} | seconds


def measure_all(jobs: list[tuple[Case, int, str]], path: Path, redraw: bool) -> list[Record]:
    """All jobs, on two processes of a thread each, kept in a file; or what is there.

    For the pictures, whose seconds are not reported, since the processes share them.
    """
    if not redraw:
        setup = partial(set_up, peer_methods.STEPS)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=setup) as pool:
            records = list(pool.map(measure, jobs))
        kept = [{name: value for name, value in r.items() if not name.startswith("seconds")} for r in records]
        path.write_text("[\n" + ",\n".join(json.dumps(record) for record in kept) + "\n]\n")
    found: list[Record] = json.loads(path.read_text())
    return found


def set_up(steps: int) -> None:
    """Settings of a process: with two threads PyTorch is no faster here, and now and then waits for seconds."""
    torch.set_num_threads(1)
    peer_methods.STEPS = steps


# The table


def table(seeds: int, out: Path, quick: bool) -> None:
    """Every case, seed and method in turn; writes peers.json and peers.md."""
    records, spans = [], []
    cases = CASES[2:3] + CASES[-1:] if quick else CASES
    for case in cases:
        for seed in range(1, seeds + 1):
            cosines = span_cosines(Problem.draw(case, seed), case.rank)
            spans.append(asdict(case) | {"seed": seed, "rank": case.rank} | cosines)
            records += [measure((case, seed, method)) for method in METHODS]
        print(f"{case.name}, d = {case.d}: done", flush=True)
    of = {case: [r for r in records if same_case(r, case)] for case in cases}
    versions = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    text = "\n".join(
        [
            *introduction(seeds, versions),
            *error_table(of),
            *seconds_table(of),
            *span_table({case: [s for s in spans if same_case(s, case)] for case in cases}),
        ]
    )
    (out / "peers.md").write_text(text + "\n")
    content = {"versions": versions, "settings": settings(), "records": records, "spans": spans}
    (out / "peers.json").write_text(json.dumps(content, indent=1) + "\n")
    print(text)


def same_case(record: Record, case: Case) -> bool:
    return all(record[name] == value for name, value in asdict(case).items())


def settings() -> Record:
    names = ("RATES", "BATCH", "STEPS", "SKLEARN_RATES", "SKLEARN_WIDTH", "SKLEARN_EPOCHS", "PATIENCE", "HELD_OUT")
    return {name.lower(): getattr(peer_methods, name) for name in names}


def introduction(seeds: int, versions: Record) -> list[str]:
    rates = ", ".join(f"{rate:g}" for rate in peer_methods.RATES)
    sklearn_rates = ", ".join(f"{rate:g}" for rate in peer_methods.SKLEARN_RATES)
    return [
        "# relucli and its peers on the same rows",
        "",
        "Written by `python tests/bench/peers.py --only table`; every run is in `peers.json`.",
        f"Two cores; {', '.join(f'{name} {number}' for name, number in versions.items())}.",
        "",
        "- **relucli**: `relucli learn -k K`, all other options at their defaults.",
        "- **Adam, width**: PyTorch, a student relu(x W^T) c without biases, mean squared error, float32, batches of "
        f"{peer_methods.BATCH}, {peer_methods.STEPS:,} steps with the learning rate along half a cosine; the best of "
        f"the rates {rates} (a fresh start each) and of the looks every {peer_methods.CHECK_EVERY} steps, by held-out "
        "rows, 20 %. One thread: two are no faster on such small products, and now and then far slower.",
        f"- **scikit-learn, {peer_methods.SKLEARN_WIDTH}**: MLPRegressor, Adam, early stopping on 20 % of the rows "
        f"after {peer_methods.PATIENCE} epochs without gain, at most {peer_methods.SKLEARN_EPOCHS} epochs, the best of "
        f"the rates {sklearn_rates} by held-out error.",
        "",
        "The peers fit four fifths of the rows and keep the rest to choose by, so 1.25 x limit is the best to expect "
        "of them with noise. relucli is told k and uses all rows; Adam of width k is told k as well.",
        "",
    ]


def error_table(of: dict[Case, list[Record]]) -> list[str]:
    """Median errors and successes; the best in bold."""
    lines = [
        "## Error",
        "",
        "The median over the seeds of E (f - g)^2 / Var f on 50,000 fresh inputs: as it is without noise, and as a "
        "multiple of the limit sigma^2 p / (N Var f) with noise (p = k d, or (k / 2 + 1) d for alternating). In "
        f"brackets the seeds that succeed: at most {NEAR:g} x limit, or {SMALL:g} without noise. The least error of a "
        "row is bold.",
        "",
        header(["family", "d", "k", "rows", "noise / sd(f)", *METHODS]),
    ]
    for case, records in of.items():
        errors = {method: median(values(records, method, "error")) for method in METHODS}
        cells = []
        for method, error in errors.items():
            text = multiple(error / case.limit) if case.share else f"{error:.0e}"
            text = f"**{text}**" if error == min(errors.values()) else text
            successes = values(records, method, "success")
            cells.append(f"{text} ({sum(successes)}/{len(successes)})")
        lines.append(row([*facts(case), *cells]))
    return [*lines, ""]


def multiple(ratio: float) -> str:
    return f"{ratio:.2f} x" if ratio < 10 else f"{ratio:,.0f} x"


def seconds_table(of: dict[Case, list[Record]]) -> list[str]:
    """Median seconds; whether relucli is fast enough."""
    lines = [
        "## Seconds",
        "",
        "Medians over the seeds: of the run with the chosen learning rate / of all three. relucli has nothing to "
        "search; its seconds are those of the whole command, its start and the reading of the file included. "
        f"*In time*: no more than {ENOUGH_SECONDS:g} s or, if that is longer, what the peer of the least error took "
        "to its best held-out error with the chosen rate.",
        "",
        header(["family", "d", "k", "rows", "noise / sd(f)", *METHODS, "in time"]),
    ]
    peers = [method for method in METHODS if method != "relucli"]
    for case, records in of.items():
        own = median(values(records, "relucli", "seconds"))
        best = min(peers, key=lambda method: median(values(records, method, "error")))
        allowed = max(ENOUGH_SECONDS, median(values(records, best, "seconds_to_best")))
        pairs = [[median(values(records, m, f"seconds{which}")) for which in ("", "_of_search")] for m in peers]
        cells = [f"{own:.1f}", *(f"{one:.1f} / {every:.1f}" for one, every in pairs)]
        lines.append(row([*facts(case), *cells, "yes" if own <= allowed else "no"]))
    return [*lines, ""]


def span_table(of: dict[Case, list[Record]]) -> list[str]:
    """How well the span is found from moments alone."""
    names = ["relucli", "PHD", "SAVE"]
    lines = [
        "## The span alone",
        "",
        "The cosine of the largest angle between the true span, of r dimensions, and the first r directions of "
        "relucli's first estimate (from moments; refined later), of statsmodels' principal Hessian directions (the "
        "better of with and without the linear trend) and of its sliced average variance estimation (10 slices): the "
        "median over the seeds. The largest of a row is bold. The second moments that PHD uses vanish for alternating "
        "networks.",
        "",
        header(["family", "d", "k", "rows", "noise / sd(f)", "r", *names]),
    ]
    for case, spans in of.items():
        cosines = [median(span[name] for span in spans) for name in names]
        cells = [f"**{c:.4f}**" if c == max(cosines) else f"{c:.4f}" for c in cosines]
        lines.append(row([*facts(case), str(case.rank), *cells]))
    return lines


def values(records: list[Record], method: str, name: str) -> list[Any]:
    return [record[name] for record in records if record["method"] == method]


def facts(case: Case) -> list[str]:
    return [case.name, str(case.d), str(case.k), f"{case.n:,}", f"{case.share:g}"]


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def header(cells: list[str]) -> str:
    return f"{row(cells)}\n|{'---|' * len(cells)}"


# The pictures


def rows_picture(seeds: int, out: Path, quick: bool, redraw: bool) -> None:
    """Error against rows, a panel for each family."""
    ratios = ROWS_RATIOS[1:3] if quick else ROWS_RATIOS
    cases = [replace(case, n=ratio * case.k * case.d) for case in ROWS_CASES for ratio in ratios]
    jobs = [(case, seed, method) for case in cases for seed in range(1, seeds + 1) for method in METHODS]
    records = measure_all(jobs, out / "error-vs-rows.json", redraw)
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 4.4), sharey=True, layout="constrained")
    for panel, base in zip(panels, ROWS_CASES, strict=True):
        line = [case for case in cases if case.family == base.family]
        for method, colour, marker in zip(METHODS, COLOURS, MARKERS, strict=True):
            errors = [mean(values([r for r in records if same_case(r, c)], method, "error")) for c in line]
            panel.loglog(ratios, errors, color=colour, marker=marker, label=method.replace("Adam,", "Adam, width"))
        panel.loglog(ratios, [case.limit for case in line], color="0.55", ls="--", label="limit")
        panel.set_title(f"{base.family}, d = {base.d}, k = {base.k}, noise {base.share:g} sd(f)")
        panel.set_xlabel("rows / (k d)")
        panel.set_xticks(ratios, map(str, ratios))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(color="0.9")
    panels[0].set_ylabel(f"E (f − g)² / Var f, mean of {seeds} seeds")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    save(figure, out / "error-vs-rows.png")


def separation_picture(seeds: int, out: Path, quick: bool, redraw: bool) -> None:
    """Success against the separation of a close pair."""
    separations = SEPARATIONS[2::4] if quick else SEPARATIONS
    cases = [replace(SEPARATION_CASE, separation=separation) for separation in separations]
    jobs = [(case, seed, method) for case in cases for seed in range(1, seeds + 1) for method in SEPARATION_METHODS]
    records = measure_all(jobs, out / "success-vs-separation.json", redraw)
    figure, panel = pyplot.subplots(figsize=(9, 4.4), layout="constrained")
    for i, method in enumerate(SEPARATION_METHODS):
        groups = [values([r for r in records if same_case(r, case)], method, "success") for case in cases]
        rates = [sum(group) / len(group) for group in groups]
        label = method.replace("Adam,", "Adam, width")
        panel.semilogx(separations, rates, color=COLOURS[i], marker=MARKERS[i], lw=2, label=label, clip_on=False)
    base = SEPARATION_CASE
    panel.set_title(f"A pair of opposite sign: d = {base.d}, k = {base.k}, {base.n:,} rows, noise {base.share:g} sd(f)")
    panel.set_xlabel("angle between the pair, radians")
    panel.set_ylabel(f"share of {seeds} seeds with error ≤ {NEAR:g} × limit")
    panel.set_ylim(0, 1.02)
    panel.set_xticks(separations, [f"{separation:g}" for separation in separations])
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid(color="0.9")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save(figure, out / "success-vs-separation.png")


def save(figure: Figure, path: Path) -> None:
    """A PNG of few colours, a third as large as one of all."""
    buffer = BytesIO()
    figure.savefig(buffer, dpi=110)
    Image.open(buffer).convert("RGB").quantize(128).save(path, optimize=True)


PARTS = ("table", "rows", "separation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--quick", action="store_true", help="few cases, one seed, short runs of Adam")
    parser.add_argument("--redraw", action="store_true", help="draw the pictures again, from the runs kept")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    set_up(500 if options.quick else peer_methods.STEPS)
    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 12, "axes.titlesize": 12, "axes.spines.top": False, "axes.spines.right": False})
    for name in [options.only] if options.only else PARTS:
        seeds = 1 if options.quick else SEEDS[name]
        if name == "table":
            if not options.redraw:
                table(seeds, options.out, options.quick)
        else:
            picture = rows_picture if name == "rows" else separation_picture
            picture(seeds, options.out, options.quick, options.redraw)


if __name__ == "__main__":
    main()
