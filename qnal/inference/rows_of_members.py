"""Predictions of many members for some rows of a file, put together from what is stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from qnal.inference.packing import PackedPredictions, Packing


@dataclass
class RowsOfMembers:
    """Predictions that are filled in bit by bit.

    Attributes:
        members: checksums of the members, all different.
        rows: the wanted rows, shape [rows of the file].
        packed: predictions for the wanted rows, in order; undefined where ``known`` is false.
        known: shape [wanted rows, members].
    """

    members: list[str]
    rows: NDArray[np.bool_]
    packed: PackedPredictions
    known: NDArray[np.bool_]

    @classmethod
    def empty(
        cls, members: list[str], packing: Packing, rows: NDArray[np.bool_]
    ) -> "RowsOfMembers":
        """Nothing is known yet."""
        none = PackedPredictions.of_no_spectra(packing, np.zeros(len(members)))
        n = int(rows.sum())
        arrays = {
            f.name: np.zeros((n, *getattr(none, f.name).shape[1:]), getattr(none, f.name).dtype)
            for f in fields(none)
            if f.name != "margins"
        }
        packed = PackedPredictions(**arrays, margins=np.zeros(len(members)))
        return cls(members, rows, packed, np.zeros((n, len(members)), bool))

    def lacks(self, members: Sequence[str]) -> bool:
        """Whether predictions of any of these members are wanted and not known."""
        own = [k for k, member in enumerate(self.members) if member in set(members)]
        return not self.known[:, own].all()

    def add(
        self, part: PackedPredictions, there: NDArray[np.bool_], members: Sequence[str]
    ) -> None:
        """Add predictions.

        Args:
            part: predictions for the rows ``there``, in order.
            there: shape [rows of the file].
            members: checksums of the members of ``part``.
        """
        place = np.cumsum(there) - 1
        wanted = np.flatnonzero(self.rows)
        to = np.flatnonzero(there[wanted])
        source = place[wanted[to]]
        for column, member in enumerate(members):
            if member not in self.members:
                continue
            k = self.members.index(member)
            self.packed.margins[k] = max(self.packed.margins[k], part.margins[column])
            for field in fields(part):
                if field.name != "margins":
                    getattr(self.packed, field.name)[to, ..., k] = getattr(part, field.name)[
                        source, ..., column
                    ]
            self.known[to, k] = True

    def missing(self) -> Iterator[tuple[NDArray[np.bool_], list[str]]]:
        """Rows of the file and members that lack them, members with the same rows together."""
        groups: dict[bytes, list[int]] = {}
        for k in range(len(self.members)):
            groups.setdefault(self.known[:, k].tobytes(), []).append(k)
        wanted = np.flatnonzero(self.rows)
        for columns in groups.values():
            lacking = ~self.known[:, columns[0]]
            if lacking.any():
                rows = np.zeros(len(self.rows), bool)
                rows[wanted[lacking]] = True
                yield rows, [self.members[k] for k in columns]

    def in_order(self, checksums: Sequence[str]) -> PackedPredictions:
        """The predictions of members by their checksums, some of which may be equal."""
        order = [self.members.index(checksum) for checksum in checksums]
        return PackedPredictions.side_by_side([self.packed], order)
