"""What a pool looks like as a whole, from summaries of its parts that add up.

A part's summary is made with the part. Those of a whole pool are added up in a time and a memory
that hardly depend on how many spectra there are.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.ensemble.votes import CLASSES
from qnal.spectra.rebin import Status

MEASURES = ("VOTE_ENTROPY", "ENTROPY", "MUTUAL_INFO")
BINS = 110  # of a histogram from 0 to ln 3: a quantile is good to 0.01
TOP = math.log(len(CLASSES))
KEYS = ("TILEID", "NIGHT", "PETAL_LOC")
# What is counted or summed of each tile, night and petal.
SUMS = (
    "spectra",
    *(status.value for status in Status),
    "dead_camera",
    "quasars",  # C_NOT < 0.5
    "disagreeing",  # members do not all vote alike
    *(measure.lower() for measure in MEASURES),
)
Key = tuple[int | None, ...]


@dataclass
class PoolSummary:
    """Counts and sums over spectra; those of two pools can be added.

    Attributes:
        groups: for each TILEID, NIGHT and PETAL_LOC (None where unknown) the :data:`SUMS`.
        histograms: spectra by most voted class, measure and bin, shape [3, 3, BINS].
        totals: sums of the measures by most voted class, shape [3, 3].
    """

    groups: dict[Key, NDArray[np.float64]] = field(default_factory=dict)
    histograms: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((len(CLASSES), len(MEASURES), BINS), np.int64)
    )
    totals: NDArray[np.float64] = field(
        default_factory=lambda: np.zeros((len(CLASSES), len(MEASURES)))
    )

    @classmethod
    def of(cls, table: pa.Table) -> "PoolSummary":
        """The summary of a part."""
        status = np.asarray(table["STATUS"])
        ok = status == Status.OK
        measures = np.array([_numbers(table, name) for name in MEASURES])
        shares = np.array([_numbers(table, f"C_{name}") for name in CLASSES])
        columns = [np.ones(len(table)), *(status == s.value for s in Status)]
        columns += [
            np.asarray(table["CAMERAS"]) != 7,
            ok & (shares[0] < 0.5),
            ok & (measures[0] > 0),
        ]
        sums = np.array([*columns, *np.where(ok, measures, 0)], np.float64)
        keys = list(zip(*(table[name].to_pylist() for name in KEYS), strict=True))
        number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
        group = np.array([number[key] for key in keys], np.intp)
        added = np.array([np.bincount(group, values, len(number)) for values in sums])
        summary = cls({key: added[:, k] for key, k in number.items()})
        winner = shares[:, ok].argmax(axis=0)
        bins = np.clip(measures[:, ok] * (BINS / TOP), 0, BINS - 1).astype(np.intp)
        for m in range(len(MEASURES)):
            np.add.at(summary.histograms[:, m], (winner, bins[m]), 1)
            np.add.at(summary.totals[:, m], winner, measures[m, ok])
        return summary

    def add(self, other: "PoolSummary") -> None:
        """Add another pool."""
        for key, sums in other.groups.items():
            self.groups[key] = self.groups[key] + sums if key in self.groups else sums
        self.histograms += other.histograms
        self.totals += other.totals

    def to_dict(self) -> dict[str, Any]:
        """As what JSON can hold; histograms as pairs of a bin and its spectra."""
        return {
            "groups": [[*key, *map(_short, sums)] for key, sums in self.groups.items()],
            "histograms": [
                [[*map(int, np.flatnonzero(h)), *map(int, h[h > 0])] for h in of_class]
                for of_class in self.histograms
            ],
            "totals": self.totals.tolist(),
        }

    @classmethod
    def parse(cls, content: Any) -> "PoolSummary":
        """The inverse of :meth:`plain`; ValueError, KeyError or TypeError if it is none."""
        groups = {tuple(g[:3]): np.array(g[3:], np.float64) for g in content["groups"]}
        if any(len(sums) != len(SUMS) for sums in groups.values()):
            raise ValueError("sums of another version")
        summary = cls(groups, totals=np.array(content["totals"], np.float64))
        for histograms, of_class in zip(summary.histograms, content["histograms"], strict=True):
            for histogram, pairs in zip(histograms, of_class, strict=True):
                half = len(pairs) // 2
                histogram[pairs[:half]] = pairs[half:]
        return summary

    def total(self) -> dict[str, float]:
        """The :data:`SUMS` over all groups."""
        zero = np.zeros(len(SUMS))
        sums = np.sum([zero, *(self.groups[key] for key in sorted(self.groups, key=_sortable))], 0)
        return dict(zip(SUMS, map(float, sums), strict=True))

    def by(self, *names: str) -> dict[Key, dict[str, float]]:
        """The :data:`SUMS` by some of :data:`KEYS`, in order."""
        places = [KEYS.index(name) for name in names]
        found: dict[Key, NDArray[np.float64]] = {}
        for key in sorted(self.groups, key=_sortable):
            short = tuple(key[place] for place in places)
            found[short] = found.get(short, np.zeros(len(SUMS))) + self.groups[key]
        ordered = sorted(found, key=_sortable)
        return {key: dict(zip(SUMS, map(float, found[key]), strict=True)) for key in ordered}

    def quantile(self, winner: int, measure: int, share: float) -> float:
        """A quantile of a measure among the spectra of a most voted class, good to 0.01 nats."""
        counts = np.cumsum(self.histograms[winner, measure])
        if not counts[-1]:
            return math.nan
        rank = share * counts[-1]
        k = int(np.searchsorted(counts, rank))
        before = counts[k - 1] if k else 0
        if k == 0 and measure == MEASURES.index("VOTE_ENTROPY"):
            return 0.0  # nearly all of the first bin are unanimous
        return float((k + (rank - before) / (counts[k] - before)) * TOP / BINS)


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(), np.float64)


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else float(value)


def _sortable(key: Key) -> tuple[tuple[bool, int], ...]:
    return tuple((value is None, value or 0) for value in key)
