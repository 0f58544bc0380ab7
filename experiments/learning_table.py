"""The table of docs/learning.md: completeness by number of labels of a study, and label efficiency.

Source:  docs/learning.md
Command: python experiments/learning_table.py CURVES         (curves.csv of a job of stage=loop)
Cost:    seconds
Expect:  a table in Markdown; with --figure also the learning curves as a picture
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from qnal.learning.curve_area import curve_areas
from qnal.learning.figures import learning_curves
from qnal.learning.label_efficiency import LOWER_BOUND, headline, label_efficiency
from qnal.learning.plan import BASELINE
from qnal.learning.round_metrics import PRIMARY

Z_RIGHT = f"{PRIMARY}_z"


def rows(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per strategy and prior: mean and standard error by number of labels, and factors."""
    efficiency = headline(label_efficiency(curves, PRIMARY))
    areas = curve_areas(curves, PRIMARY)
    found = []
    for name in curves["strategy"].unique():
        part = curves[curves["strategy"] == name]
        row = {"": name}
        for labels, values in part.groupby("labels")[PRIMARY]:
            row[f"{labels} labels"] = f"{values.mean():.2f} ± {values.sem():.2f}"
        last = part[part["labels"] == part["labels"].max()]
        row["last, with z right"] = f"{last[Z_RIGHT].mean():.2f}"
        gain = areas[name] - areas[BASELINE]
        row["mean gain"] = "" if name == BASELINE else f"{gain.mean():+.3f} ± {gain.sem():.3f}"
        row["label efficiency"] = ""
        if name != BASELINE:
            best = efficiency[name]
            row["label efficiency"] = (
                "not reached"
                if np.isnan(best["efficiency"])
                else "≥ " * (best["note"] == LOWER_BOUND)
                + f"{best['efficiency']:.1f} ({best['low']:.1f} to {best['high']:.1f})"
            )
        found.append(row)
    return pd.DataFrame(found)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown."""
    lines = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def main() -> None:
    """Print the table of the curves on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("curves", type=Path)
    parser.add_argument("--figure", type=Path, help="file for the learning curves")
    given = parser.parse_args()
    curves = pd.read_csv(given.curves)
    print(markdown(rows(curves)))
    print(f"\n{curves['repeat'].nunique()} repeats; mean ± standard error.")
    if given.figure:
        learning_curves(curves).savefig(given.figure)


if __name__ == "__main__":
    main()
