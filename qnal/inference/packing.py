"""Members' answers as they are kept: what decides a vote exactly, the lines in 16 bits each.

A confidence c is the whole number k nearest to 65535·c, an error of at most 7.6e-6. A redshift is
kept as the observed wavelength of its line, uniformly in its logarithm over the range that the
grid allows with a twentieth of it beyond either end, where offsets may lead: on the log grid the
relative error in 1+z is at most 8.6e-6. Networks with linear heads know no such bounds; their
lines are kept as float32.

Scores are made from coded answers alone, fresh ones too, so that they are the same to the byte
whether members were computed now or long ago.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.ensemble.votes import MemberPredictions
from qnal.lines import column_names, rest_wavelength
from qnal.network.network import Network, OffsetActivation
from qnal.spectra.grid import Grid

LEVELS = 2**16 - 1
BEYOND = 0.05  # of the grid, at either end; offsets lead at most a tenth of a box beyond it

Code = NDArray[np.uint16] | NDArray[np.float32]


@dataclass(frozen=True)
class Packing:
    """How the answers of an ensemble are coded.

    Attributes:
        lines: names of the lines; ``bal_lines`` of the BAL lines.
        low, high: logarithms of the shortest and longest wavelength that can be coded, in Å.
        exact: whether lines are kept as float32.
    """

    lines: tuple[str, ...]
    bal_lines: tuple[str, ...]
    low: float
    high: float
    exact: bool

    @classmethod
    def of(cls, networks: Sequence[Network]) -> "Packing":
        """The coding of all answers of these networks."""
        first = networks[0]
        low, high = _bounds(first.grid)
        exact = any(n.offset_activation is OffsetActivation.linear for n in networks)
        return cls(first.lines, first.bal_lines, low, high, exact)

    def encode(self, predictions: MemberPredictions) -> "PackedPredictions":
        """The answers, coded."""
        exact_part = predictions.deciding.astype(np.float32), predictions.z_best.astype(np.float32)
        lines = predictions.confidence, predictions.z, predictions.bal
        if self.exact:
            return PackedPredictions(*exact_part, *(a.astype(np.float32) for a in lines))
        rest = np.array([rest_wavelength(name) for name in self.lines])[:, None]
        share = (np.log((1 + predictions.z) * rest) - self.low) / (self.high - self.low)
        return PackedPredictions(
            *exact_part, *(_levels(a) for a in (predictions.confidence, share, predictions.bal))
        )

    def decode(self, packed: "PackedPredictions") -> MemberPredictions:
        """The answers as scores see them."""
        if self.exact:
            return MemberPredictions(*(getattr(packed, f.name) for f in fields(packed)))
        z = np.empty(packed.z.shape, np.float32)
        for line, redshifts in enumerate(_redshifts(self.lines, self.low, self.high)):
            z[:, line] = redshifts[packed.z[:, line]]
        confidence, bal = (
            (k * np.float32(1 / LEVELS)).astype(np.float32) for k in (packed.confidence, packed.bal)
        )
        return MemberPredictions(packed.deciding, packed.z_best, confidence, z, bal)

    def description(self) -> dict[str, object]:
        """What a reader of kept answers needs to know, and what their shape depends on."""
        if self.exact:
            return {"lines": list(self.lines), "bal": list(self.bal_lines), "coding": "float32"}
        return {
            "lines": list(self.lines),
            "bal": list(self.bal_lines),
            "coding": "16 bits",
            "confidence": f"k / {LEVELS}",
            "redshift": f"exp({self.low!r} + k * {(self.high - self.low) / LEVELS!r}) / rest - 1",
            "rest_wavelength": {name: rest_wavelength(name) for name in self.lines},
        }

    def columns(self) -> list[str]:
        """Names of the lines' columns in a table, in order: confidences, redshifts, BALs."""
        short = column_names(self.lines)
        bal = ["BAL"] if len(self.bal_lines) == 1 else [f"BAL_{n}" for n in self.bal_lines]
        return [*(f"C_{n}" for n in short), *(f"Z_{n}" for n in short), *(f"C_{n}" for n in bal)]


@dataclass(frozen=True)
class PackedPredictions:
    """Coded answers; shapes as in :class:`~qnal.ensemble.votes.MemberPredictions`.

    Attributes:
        deciding: the confidence that decides a vote, float32, shape [rows, members].
        z_best: redshift by the most confident line, float32.
        confidence: codes, shape [rows, lines, members]; ``z`` likewise.
        bal: codes, shape [rows, BAL lines, members].
    """

    deciding: NDArray[np.float32]
    z_best: NDArray[np.float32]
    confidence: Code
    z: Code
    bal: Code

    def only(self, members: Sequence[int]) -> "PackedPredictions":
        """The answers of some members."""
        return PackedPredictions(*(getattr(self, f.name)[..., list(members)] for f in fields(self)))

    @classmethod
    def of_no_spectra(cls, packing: Packing, members: int) -> "PackedPredictions":
        """Answers to nothing."""
        code = np.float32 if packing.exact else np.uint16
        heads = (len(packing.lines), len(packing.lines), len(packing.bal_lines))
        none = np.zeros((0, members), np.float32)
        return cls(none, none, *(np.zeros((0, n, members), code) for n in heads))

    @staticmethod
    def side_by_side(
        parts: Sequence["PackedPredictions"], order: Sequence[int]
    ) -> "PackedPredictions":
        """The members of all parts, taken in an order; always laid out alike in memory."""
        joined = []
        for field in fields(PackedPredictions):
            arrays = [getattr(part, field.name) for part in parts]
            array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=-1)
            if list(order) != list(range(array.shape[-1])):
                array = array[..., list(order)]
            joined.append(np.ascontiguousarray(array))
        return PackedPredictions(*joined)

    def table(self, rows: NDArray[np.integer], columns: Sequence[str]) -> pa.Table:
        """One row a spectrum and member, spectrum after spectrum.

        Args:
            rows: each spectrum's ROW in its file.
            columns: names of the lines' columns, :meth:`Packing.columns`.
        """
        spectra, members = self.deciding.shape
        lines = np.concatenate([self.confidence, self.z, self.bal], axis=1).swapaxes(0, 1)
        return pa.table(
            {
                "ROW": np.repeat(rows.astype(np.int32), members),
                "MEMBER": np.tile(np.arange(members, dtype=np.int16), spectra),
                "DECIDING": self.deciding.reshape(-1),
                "Z_BEST": self.z_best.reshape(-1),
                **{n: c.reshape(-1) for n, c in zip(columns, lines, strict=True)},
            }
        )

    @classmethod
    def of_table(cls, table: pa.Table, members: int, packing: Packing) -> "PackedPredictions":
        """The inverse of :meth:`table`; KeyError or ValueError if it is none of that coding."""
        columns, lines = packing.columns(), len(packing.lines)

        def stacked(names: Sequence[str]) -> Code:
            arrays = [np.asarray(table[name]).reshape(-1, members) for name in names]
            empty = np.zeros((len(table) // members, 0, members), np.uint16)
            return np.stack(arrays, axis=1) if arrays else empty

        deciding, z_best = (np.asarray(table[n]).reshape(-1, members) for n in _EXACT)
        return cls(
            deciding,
            z_best,
            stacked(columns[:lines]),
            stacked(columns[lines : 2 * lines]),
            stacked(columns[2 * lines :]),
        )


_EXACT = ("DECIDING", "Z_BEST")


def _bounds(grid: Grid) -> tuple[float, float]:
    ends = np.array([-BEYOND, 1 + BEYOND]) * len(grid)
    low, high = np.log(grid.wavelength(ends))
    # Ten digits, so that the last bit of a logarithm is the same on every machine.
    return round(float(low), 10), round(float(high), 10)


def _levels(share: NDArray[np.floating]) -> NDArray[np.uint16]:
    return np.rint(np.clip(share, 0, 1) * LEVELS).astype(np.uint16)


@lru_cache(maxsize=4)
def _redshifts(lines: tuple[str, ...], low: float, high: float) -> NDArray[np.float32]:
    """The redshift of every code, shape [lines, codes]."""
    wave = np.exp(low + np.arange(LEVELS + 1) * ((high - low) / LEVELS))
    rest = np.array([rest_wavelength(name) for name in lines])[:, None]
    return (wave / rest - 1).astype(np.float32)
