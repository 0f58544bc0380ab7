"""How unsure an ensemble is of a spectrum, in numpy and in SQL.

Settles 2009, *Active Learning Literature Survey*, sec. 3.1 (entropy, margin, least confidence) and
3.2 (vote entropy); Houlsby et al. 2011, arXiv:1112.5745 (mutual information).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qnal.ensemble.information import entropy, mutual_information

__all__ = [
    "UTILITIES",
    "Strategy",
    "Utility",
    "entropy",
    "least_confidence",
    "margin",
    "mutual_information",
]

CLASSES = 3  # not a quasar, low redshift, high redshift


class Strategy(StrEnum):
    """What spectra are ranked by, highest first."""

    vote_entropy = "vote_entropy"
    entropy = "entropy"
    mutual_info = "mutual_info"
    margin = "margin"
    least_confidence = "least_confidence"


@dataclass(frozen=True)
class Utility:
    """A strategy in SQL.

    Attributes:
        columns: of the scores table that the expression needs; null if one of them is.
        sql: expression over them, in double precision.
        highest: its upper limit; the lower one is 0.
        label: what it is called on a figure.
    """

    columns: tuple[str, ...]
    sql: str
    highest: float
    label: str


def margin(p: NDArray[np.floating], axis: int = -1) -> NDArray[np.float64]:
    """One less the lead of the likeliest class over the second: 1 for a tie, 0 for certainty."""
    ranked = np.sort(np.asarray(p, np.float64), axis=axis)
    lead = np.take(ranked, -1, axis=axis) - np.take(ranked, -2, axis=axis)
    return np.asarray(1.0 - lead)


def least_confidence(p: NDArray[np.floating], axis: int = -1) -> NDArray[np.float64]:
    """One less the probability of the likeliest class."""
    return np.asarray(1.0 - np.max(np.asarray(p, np.float64), axis=axis))


def _middle(a: str, b: str, c: str) -> str:
    return f"greatest(least({a}, {b}), least(greatest({a}, {b}), {c}))"


def _entropy_sql(columns: tuple[str, str, str]) -> str:
    a, b, c = (f"CASE WHEN {x} = 0 THEN 0.0 ELSE 0.0 - {x} * ln({x}) END" for x in columns)
    return f"(least({a}, {b}, {c}) + {_middle(a, b, c)}) + greatest({a}, {b}, {c})"


_VOTES = ("C_NOT", "C_QSO_LZ", "C_QSO_HZ")
_SOFT = ("P_NOT", "P_QSO_LZ", "P_QSO_HZ")
_LN3 = float(np.log(CLASSES))

UTILITIES: Mapping[Strategy, Utility] = {
    Strategy.vote_entropy: Utility(_VOTES, _entropy_sql(_VOTES), _LN3, "vote entropy [nat]"),
    Strategy.entropy: Utility(("ENTROPY",), "ENTROPY", _LN3, "entropy [nat]"),
    Strategy.mutual_info: Utility(
        ("MUTUAL_INFO",), "MUTUAL_INFO", _LN3, "mutual information [nat]"
    ),
    Strategy.margin: Utility(
        _SOFT, f"1.0 - (greatest({', '.join(_SOFT)}) - {_middle(*_SOFT)})", 1.0, "1 − margin"
    ),
    Strategy.least_confidence: Utility(
        _SOFT, f"1.0 - greatest({', '.join(_SOFT)})", 1 - 1 / CLASSES, "1 − confidence"
    ),
}
