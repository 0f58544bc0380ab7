"""Packed predictions: what decides a vote in float32, values of lines in 16 bits.

A confidence c is stored as the integer k nearest to 65535·c, an error of at most 7.6e-6. A redshift
is stored as the observed wavelength of its line, uniformly in the logarithm over the range of the
grid and a twentieth of it beyond either end, where offsets may lead; on the log grid the relative
error of 1+z is at most 8.6e-6. Networks with linear heads have no such bounds, so their lines are
stored as float32.

Scores are always computed from packed predictions, also where none are cached, so that they are the
same bytes whether the forward passes were made now or earlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
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
    """How the predictions of an ensemble are packed.

    Attributes:
        lines: names of the lines; ``bal_lines`` of the BAL lines.
        low, high: logarithms of the shortest and longest wavelength that can be packed, in Å.
        exact: whether lines are stored as float32.
    """

    lines: tuple[str, ...]
    bal_lines: tuple[str, ...]
    low: float
    high: float
    exact: bool

    @classmethod
    def of(cls, networks: Sequence[Network]) -> "Packing":
        """The packing for predictions of these networks."""
        first = networks[0]
        low, high = _bounds(first.grid)
        exact = any(n.offset_activation is OffsetActivation.linear for n in networks)
        return cls(first.lines, first.bal_lines, low, high, exact)

    def pack(
        self,
        predictions: MemberPredictions,
        rechecked: NDArray[np.bool_] | None = None,
        margins: NDArray[np.float64] | None = None,
    ) -> "PackedPredictions":
        """Pack predictions.

        Args:
            predictions: of all members.
            rechecked: those of bfloat16 that were computed again in float32, shape
                [rows, members]; None: none.
            margins: largest logit error to be expected of a member, shape [members]; None: 0.
        """
        rows, members = predictions.deciding.shape
        deciding, z_best = (
            a.astype(np.float32) for a in (predictions.deciding, predictions.z_best)
        )
        if rechecked is None:
            rechecked = np.zeros((rows, members), bool)
        if margins is None:
            margins = np.zeros(members)
        confidence, z, bal = predictions.confidence, predictions.z, predictions.bal
        if self.exact:
            codes: list[Code] = [confidence, z.astype(np.float32), bal]
        else:
            rest = np.array([rest_wavelength(name) for name in self.lines])[:, None]
            share = (np.log((1 + z) * rest) - self.low) / (self.high - self.low)
            codes = [_levels(confidence), _levels(share), _levels(bal)]
        return PackedPredictions(deciding, z_best, codes[0], codes[1], codes[2], rechecked, margins)

    def unpack(self, packed: "PackedPredictions") -> MemberPredictions:
        """The predictions that scores are computed from."""
        if self.exact:
            names = MemberPredictions.__dataclass_fields__
            return MemberPredictions(*(getattr(packed, name) for name in names))
        z = np.empty(packed.z.shape, np.float32)
        for line, redshifts in enumerate(_redshifts(self.lines, self.low, self.high)):
            z[:, line] = redshifts[packed.z[:, line]]
        confidence, bal = (
            (k * np.float32(1 / LEVELS)).astype(np.float32) for k in (packed.confidence, packed.bal)
        )
        return MemberPredictions(packed.deciding, packed.z_best, confidence, z, bal)

    def description(self) -> dict[str, object]:
        """What a reader of packed predictions needs to know, as JSON takes it."""
        named = {"lines": list(self.lines), "bal": list(self.bal_lines)}
        if self.exact:
            return {**named, "packing": "float32"}
        return {
            **named,
            "packing": "16 bits",
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
    """Packed predictions; the first shapes are those of
    :class:`~qnal.ensemble.votes.MemberPredictions`.

    Attributes:
        deciding: the confidence that decides a vote, float32, shape [rows, members].
        z_best: redshift by the most confident line, float32.
        confidence: codes, shape [rows, lines, members]; ``z`` likewise.
        bal: codes, shape [rows, BAL lines, members].
        rechecked: predictions of bfloat16 that were computed again in float32, [rows, members].
        margins: largest logit error to be expected of a member, shape [members]; 0 for a member
            in float32.
    """

    deciding: NDArray[np.float32]
    z_best: NDArray[np.float32]
    confidence: Code
    z: Code
    bal: Code
    rechecked: NDArray[np.bool_]
    margins: NDArray[np.float64]

    def only(self, members: Sequence[int]) -> "PackedPredictions":
        """The predictions of some members."""
        return PackedPredictions(*(getattr(self, f.name)[..., list(members)] for f in fields(self)))

    @classmethod
    def of_no_spectra(cls, packing: Packing, margins: NDArray[np.float64]) -> "PackedPredictions":
        """Predictions for no spectra, of members with these margins."""
        code, members = np.float32 if packing.exact else np.uint16, len(margins)
        heads = (len(packing.lines), len(packing.lines), len(packing.bal_lines))
        none = np.zeros((0, members), np.float32)
        confidence, z, bal = (np.zeros((0, n, members), code) for n in heads)
        return cls(none, none, confidence, z, bal, np.zeros((0, members), bool), margins)

    @staticmethod
    def side_by_side(
        parts: Sequence["PackedPredictions"], order: Sequence[int]
    ) -> "PackedPredictions":
        """The members of all parts in the given order, always with the same memory layout."""
        joined = []
        for field in fields(PackedPredictions):
            arrays = [getattr(part, field.name) for part in parts]
            array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=-1)
            if list(order) != list(range(array.shape[-1])):
                array = array[..., list(order)]
            joined.append(np.ascontiguousarray(array))
        return PackedPredictions(*joined)


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
