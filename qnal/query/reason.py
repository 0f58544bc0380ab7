"""Why a target was selected, in words."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

DRAWN = ("random", "stratified")  # strategies whose utility is a random number


def reasons(
    table: pa.Table, labels: Mapping[str, str], members: int | None, population: int | None
) -> list[str]:
    """One sentence per selected target.

    For example "46 of 100 members say quasar at z≈2.1, 54 say none; SOM cell 812, with 37 others;
    vote entropy 0.69".

    Args:
        table: the selection, with CELL_SPECTRA, the number of spectra in the target's SOM cell.
        labels: by name of a strategy, what its utility is; a unit in brackets is left out.
        members: number of members of the ensemble; None if it is unknown.
        population: number of targets for which the control picks stand.
    """
    return [_reason(row, labels, members, population) for row in table.to_pylist()]


def _reason(
    row: Mapping[str, Any], labels: Mapping[str, str], members: int | None, population: int | None
) -> str:
    strategy = row["STRATEGY"]
    parts = []
    if row["CONTROL"]:
        parts.append(f"control pick, drawn at random from {population:,} targets")
    elif strategy in DRAWN:
        cell = " in its SOM cell" if strategy == "stratified" else ""
        parts.append(f"drawn at random{cell}")
    parts += [text for text in (_votes(row, members), _cell(row)) if text]
    if not row["CONTROL"] and strategy not in DRAWN and strategy in labels:
        parts.append(f"{labels[strategy].partition(' [')[0]} {row['UTILITY']:.3g}")
    return "; ".join(parts)


def _votes(row: Mapping[str, Any], members: int | None) -> str:
    """How many members say what."""
    none, low, high = (row.get(f"C_{name}") for name in ("NOT", "QSO_LZ", "QSO_HZ"))
    if none is None or low is None or high is None or none != none:
        return ""
    z = row.get("Z")
    at = "" if z is None or z != z else f" at z≈{z:.1f}"
    quasar = low + high
    if members is None:
        said = f"{100 * quasar:.0f} % of the members say quasar"
        rest = f"{100 * none:.0f} % say none"
        kinds = f" ({100 * low:.0f} % at low, {100 * high:.0f} % at high redshift)"
    else:
        said = f"{round(members * quasar)} of {members} members say quasar"
        rest = f"{round(members * none)} say none"
        kinds = f" ({round(members * low)} at low, {round(members * high)} at high redshift)"
    return f"{said}{at if quasar else ''}{kinds if low and high else ''}, {rest}"


def _cell(row: Mapping[str, Any]) -> str:
    """The target's SOM cell and how many other spectra are in it."""
    bmu, spectra = row.get("BMU"), row.get("CELL_SPECTRA")
    if bmu is None or spectra is None:
        return ""
    others = spectra - 1
    return f"SOM cell {bmu}, with {others:,} other{'' if others == 1 else 's'}"
