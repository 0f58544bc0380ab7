"""Are redshifts pulled towards the centres of the boxes in which a network finds a line?

QuasarNET is known for it (https://github.com/desihub/desispec/issues/2293). Out-of-bag predictions
of each member, for quasars that it detects with a right redshift, are compared with the labels: the
residual of the line's position, in boxes, by its position within the box.

Two slopes are fitted. Against the *true* position, a slope of −1 would mean that the offset within
the box is ignored, and 0 that there is no pull. Against the *predicted* position, a
positive slope means that offsets from the centre are larger than they should be given how uncertain
they are: multiplying them by a factor below 1 lowers the scatter, but pulls towards the centres.

Source:  issue 2293 of desispec
Command: python experiments/redshift_in_box.py ENSEMBLE [ENSEMBLE ...]
         python experiments/redshift_in_box.py work/rounds --labelled work/labelled/NAME
Cost:    seconds
Expect:  docs/learning.md has what was measured
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.votes import MAD_TO_SIGMA
from qnal.labels.label import is_quasar
from qnal.lines import QUASARNET_LINES, column_names, rest_wavelength
from qnal.spectra.grid import Grid, named_grid

DETECTED = 0.95  # confidence of the line
RIGHT = 0.05  # |Δz| / (1 + z) below which a redshift is right
DRAWS = 500  # bootstrap samples of the targets
BINS = 10
BOXES = 13  # of the networks of rounds, which do not record it


def positions(z: NDArray, rest: NDArray, boxes: int, grid: Grid) -> NDArray:
    """Position of a line at wavelength ``rest`` (Å) and redshift z, as box number plus offset."""
    return grid.position(rest * (1 + z), extrapolate=True) * boxes / len(grid)


def residuals(folder: EnsembleFolder) -> pd.DataFrame:
    """True and predicted positions of the lines that decided the redshift, in boxes.

    One row per member and spectrum: TARGETID, TRUE, PREDICTED.
    """
    description, labels = folder.description(), folder.training_set()
    grid, boxes = named_grid(description.network["grid"]), description.network["boxes"]
    lines = description.lines["names"]
    columns = [f"C_{name}" for name in column_names(lines)]
    rest = np.array([rest_wavelength(name) for name in lines])
    tables = (folder.out_of_bag(member.member) for member in description.members)
    return pd.concat(
        [
            compared(labels, table, table["Z_BEST"].to_numpy(), columns, rest, boxes, grid)
            for table in tables
        ],
        ignore_index=True,
    )


def residuals_of_rounds(rounds: Path, labelled: Path) -> pd.DataFrame:
    """The same for the combined redshifts of the ensembles of a simulated loop.

    Args:
        rounds: folder of rounds; networks of the usual grid, lines and boxes.
        labelled: folder of the labelled set.
    """
    labels, parts = pd.read_parquet(labelled / "labels.parquet"), []
    columns = [f"C_{name}" for name in column_names(QUASARNET_LINES)]
    rest = np.array([rest_wavelength(name) for name in QUASARNET_LINES])
    grid = named_grid("log")
    for path in sorted(rounds.glob("[0-9a-f]*/scores.parquet")):
        table = pd.read_parquet(path)
        parts.append(compared(labels, table, table["Z"].to_numpy(), columns, rest, BOXES, grid))
    return pd.concat(parts, ignore_index=True)


def compared(
    labels: pd.DataFrame,
    table: pd.DataFrame,
    found: NDArray,
    columns: list[str],
    rest: NDArray,
    boxes: int,
    grid: Grid,
) -> pd.DataFrame:
    """Positions of the most confident lines of one table of predictions."""
    known = labels.iloc[table["INDEX"]].reset_index(drop=True)
    confidence, z = table[columns].to_numpy(), known["Z"].to_numpy(float)
    use = is_quasar(known["LABEL"].to_numpy()) & (np.abs(found - z) < RIGHT * (1 + z))
    use &= confidence.max(axis=1) > DETECTED
    line = rest[confidence.argmax(axis=1)]
    part = pd.DataFrame(
        {
            "TARGETID": known["TARGETID"],
            "TRUE": positions(z, line, boxes, grid),
            "PREDICTED": positions(found, line, boxes, grid),
        }
    )
    return part[use]


def slope(table: pd.DataFrame, against: str) -> float:
    """Least-squares slope of the residual against the offset from the centre of the box."""
    offset = table[against] % 1 - 0.5
    residual = table["PREDICTED"] - table["TRUE"]
    same_box = np.floor(table["PREDICTED"]) == np.floor(table["TRUE"])
    return float(np.polyfit(offset[same_box], residual[same_box], 1)[0])


def interval(table: pd.DataFrame, against: str, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the slope, from bootstrap samples of the targets."""
    rng = np.random.default_rng(seed)
    rows = table.groupby("TARGETID").indices
    targets = list(rows)
    found = []
    for _ in range(DRAWS):
        drawn = rng.integers(len(targets), size=len(targets))
        sample = table.iloc[np.concatenate([rows[targets[t]] for t in drawn])]
        found.append(slope(sample, against))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def corrected(table: pd.DataFrame, factor: float) -> NDArray[np.float64]:
    """Residuals of the position, in boxes, after offsets from the centre are multiplied."""
    box = np.floor(table["PREDICTED"])
    position = box + 0.5 + factor * (table["PREDICTED"] - box - 0.5)
    return np.asarray(position - table["TRUE"])


def nmad(values: NDArray[np.floating]) -> float:
    """Normalised median absolute deviation."""
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def main() -> None:
    """Print the slopes of the ensembles of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ensembles", type=Path, nargs="+")
    parser.add_argument("--labelled", type=Path, help="labelled set, for folders of rounds")
    given = parser.parse_args()
    for path in given.ensembles:
        if given.labelled:
            table = residuals_of_rounds(path, given.labelled)
        else:
            table = residuals(EnsembleFolder(path))
        print(f"{path.name}: {len(table)} predictions for {table['TARGETID'].nunique()} quasars")
        for against in ("TRUE", "PREDICTED"):
            low, high = interval(table, against)
            found = f"{slope(table, against):+.3f} ({low:+.3f} to {high:+.3f})"
            print(f"  slope against {against.lower()} position {found}")
        factor = 1 - slope(table, "PREDICTED")
        before, after = nmad(corrected(table, 1)), nmad(corrected(table, factor))
        print(f"  NMAD in boxes {before:.4f}, with offsets times {factor:.3f} {after:.4f}")
        centre = pd.cut(table["TRUE"] % 1, np.linspace(0, 1, BINS + 1))
        means = (table["PREDICTED"] - table["TRUE"]).groupby(centre, observed=True).median()
        print("  median residual by true position:", " ".join(f"{v:+.3f}" for v in means))


if __name__ == "__main__":
    main()
