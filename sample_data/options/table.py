"""Planted and recovered positions, with errors in units of standard errors.

    python table.py BOOK.h5 SCORE.json

SCORE.json is what `relucli evaluate --json` says of the recovered network.
"""

import json
import sys

import h5py
from book import ENGINE_NOISE, FACTORS


def main(book: str, score_path: str) -> None:
    """Print a line for each position."""
    with open(score_path, encoding="utf-8") as file:
        score = json.load(file)
    with h5py.File(book) as file:
        weights, quantities, strikes = file["weights"][:], file["coefficients"][:], -file["biases"][:]
    print(f"{'underlying':>28} {'angle, mrad':>14} {'quantity':>9} {'recovered':>18} {'strike':>8} {'recovered':>18}")
    worst = 0.0
    for m in score["matches"]:
        i = m["teacher"]
        name = " ".join(f"{w:+.2f} {factor}" for w, factor in zip(weights[i], FACTORS, strict=True) if w)
        if m["student"] is None:
            sys.exit(f"{name}: not recovered")
        # A strike is minus a bias.  The standard error of a direction is the root mean square of its angle.
        errors = [
            m["angle"] / m["angle_se"],
            m["coefficient_error"] / m["coefficient_se"],
            -m["bias_error"] / m["bias_se"],
        ]
        worst = max(worst, *map(abs, errors))
        angle = f"{1e3 * m['angle']:.2f} ({errors[0]:.1f})"
        quantity = f"{quantities[i] + m['coefficient_error']:.4f} ({errors[1]:+.1f})"
        strike = f"{strikes[i] - m['bias_error']:.3f} ({errors[2]:+.1f})"
        print(f"{name:>28} {angle:>14} {quantities[i]:>9.4f} {quantity:>18} {strikes[i]:>8.3f} {strike:>18}")
    print(f"noise of the engine {ENGINE_NOISE}, residual {score['rmse']:.4f} +- {score['rmse_se']:.4f}")
    print(f"largest error {worst:.1f} standard errors")


if __name__ == "__main__":
    main(*sys.argv[1:])
