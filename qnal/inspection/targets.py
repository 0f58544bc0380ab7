"""What the page knows of each target besides its spectrum.

The page is told neither a target's rank nor whether it is a control pick. In blind mode it is not
told what the ensemble and Redrock say either, so that nobody can find it in the file.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qnal.inspection.members import MemberVotes
from qnal.inspection.selected import Row
from qnal.spectra.target_table import SNR

CLASSES = ("NOT", "QSO_LZ", "QSO_HZ")
FACTS = (
    "OBJECT",
    *("OBJTYPE", "TILEID", "EXPID", "NIGHT", "HPXPIXEL", "PETAL_LOC", "FIBER", "SURVEY"),
    *("PROGRAM", "COADD_FIBERSTATUS", "DESI_TARGET", "FILE", "ROW"),
)
BANDS = ("G", "R", "Z")


def described(
    row: Row, votes: MemberVotes | None, grid: int, blind: bool, arms: Sequence[str]
) -> dict[str, Any]:
    """A target as JSON takes it.

    Args:
        row: of the selection.
        votes: of the members, if known.
        grid: number of the wavelength grid of its spectrum.
        blind: leave out what the ensemble and Redrock say, and why the target was selected.
        arms: names of the arms of the spectrograph.
    """
    target = {
        "id": str(row["TARGETID"]),  # a JavaScript number would round it
        "grid": grid,
        "ra": number(row, "TARGET_RA"),
        "dec": number(row, "TARGET_DEC"),
        "mag": [_magnitude(number(row, f"FLUX_{band}")) for band in BANDS],
        "snr": [number(row, f"{SNR}{arm}") for arm in arms],
        "bmu": number(row, "BMU"),
        "facts": {name: str(row[name]) for name in FACTS if row.get(name) not in (None, "")},
    }
    if not blind:
        target |= {"ensemble": _ensemble(row, votes), "redrock": _redrock(row)}
        target["reason"] = next((str(row[c]) for c in ("REASON", "WHY") if row.get(c)), None)
    return target


def _ensemble(row: Row, votes: MemberVotes | None) -> dict[str, Any] | None:
    if number(row, "Z") is None and number(row, "C_NOT") is None:
        return None
    lines = [
        [name[2:], number(row, name), number(row, f"Z_{name[2:]}")]
        for name in row
        if name.startswith("C_") and name[2:] not in CLASSES
    ]
    return {
        "z": number(row, "Z"),
        "spread": number(row, "Z_SPREAD"),
        "shares": [number(row, f"C_{name}") for name in CLASSES],
        "lines": [line for line in lines if line[1] is not None],
        "members": votes and [[z, int(q)] for z, q in zip(votes.z, votes.quasar, strict=True)],
    }


def _redrock(row: Row) -> dict[str, Any] | None:
    z, spectype = number(row, "Z_RR"), row.get("SPECTYPE_RR")
    if z is None or not spectype:
        return None
    delta = next((n for n in ("DELTACHI2_RR", "DELTACHI2") if n in row), "DELTACHI2_RR")
    warning = next((n for n in ("ZWARN_RR", "ZWARN") if n in row), "ZWARN_RR")
    return {
        "z": z,
        "spectype": str(spectype).strip().upper(),
        "deltachi2": number(row, delta),
        "zwarn": number(row, warning),
    }


def number(row: Mapping[str, Any], name: str) -> float | int | None:
    """A finite number of the row; None if it is absent, null or NaN."""
    value = row.get(name)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.9g}")


def _magnitude(flux: float | None) -> float | None:
    """AB magnitude of a flux in nanomaggies."""
    return None if flux is None or flux <= 0 else round(22.5 - 2.5 * math.log10(flux), 2)
