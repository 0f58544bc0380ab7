"""From spectra to score columns: the part that the infer stage and the notebook door share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.ensemble.folder import StoredEnsemble
from qnal.ensemble.forward import Backend, Members, answers, forward
from qnal.ensemble.precision import Precision
from qnal.ensemble.stack import MemberStack
from qnal.ensemble.votes import Thresholds, score_columns, score_schema
from qnal.errors import ConfigError
from qnal.network.network import Network
from qnal.spectra.grid import Grid
from qnal.spectra.rebin import Status


@dataclass(frozen=True)
class Scorer:
    """Scores spectra with one ensemble.

    Attributes:
        members: networks and their functions, or a stack; on one grid and with the same lines.
        thresholds: when a member votes quasar.
        bal_trained: whether C_BAL means anything.
        batch_size: spectra in one pass of a member.
    """

    members: Members
    thresholds: Thresholds
    bal_trained: bool = True
    batch_size: int = 512

    @classmethod
    def of(
        cls,
        stored: StoredEnsemble,
        thresholds: Thresholds,
        backend: Backend = Backend.tensorflow,
        batch_size: int = 512,
        precision: Precision = Precision.float32,
    ) -> "Scorer":
        """A scorer with the members of an ensemble that was read.

        Args:
            stored: the ensemble.
            thresholds: when a member votes quasar.
            backend: what computes forward passes.
            batch_size: spectra in one pass of a member.
            precision: of TensorFlow's passes; other backends compute in float32.

        Raises:
            ConfigError: ``min_lines`` is more than the members have lines, or the backend has no
                such precision.
        """
        if precision is Precision.bfloat16 and backend is not Backend.tensorflow:
            raise ConfigError(
                f"infer.precision=bfloat16 cannot be used with infer.backend={backend}, which "
                "computes in float32; it takes auto, float32, or infer.backend=tensorflow."
            )
        most = len(stored.networks[0].lines)
        if not 1 <= thresholds.min_lines <= most:
            raise ConfigError(
                f"ensemble.min_lines={thresholds.min_lines} cannot be used; these networks have "
                f"{most} lines, so it takes 1 to {most}."
            )
        members: Members
        if backend is Backend.tensorflow:
            members = MemberStack.of(stored.networks, precision, thresholds)
        else:
            members = [(network, forward(network, backend)) for network in stored.networks]
        return cls(members, thresholds, stored.bal_trained, batch_size)

    @property
    def network(self) -> Network:
        """A member, for what all share: grid, lines, boxes."""
        members = self.members
        return members.first if isinstance(members, MemberStack) else members[0][0]

    @property
    def grid(self) -> Grid:
        """The grid that spectra must be on."""
        return self.network.grid

    @property
    def precision(self) -> Precision:
        """What passes are computed in: float32 or bfloat16, never ``auto``."""
        members = self.members
        return members.precision if isinstance(members, MemberStack) else Precision.float32

    def table(self, identity: pa.Table, x: NDArray[np.floating]) -> pa.Table:
        """The table of spectra with its score columns; null where STATUS is not ``ok``.

        Args:
            identity: columns that describe the spectra, STATUS among them.
            x: renormalised spectra, shape [rows, npix].

        Raises:
            InputError: an answer is not finite, so a weight file must be corrupt.
        """
        network = self.network
        schema = score_schema(network.lines, network.bal_lines)
        ok = np.asarray(identity["STATUS"]) == Status.OK
        rows = np.flatnonzero(ok)
        # Row i of the table is answer `where[i]`, or null.
        where = pa.array(np.cumsum(ok) - 1, mask=~ok)
        columns: Sequence[NDArray | None] = [None] * len(schema)
        if len(rows):
            said = answers(self.members, x[rows], self.thresholds, self.batch_size)
            columns = score_columns(said, self.thresholds, self.bal_trained)
        table = identity
        for field, values in zip(schema, columns, strict=True):
            array = pa.nulls(len(ok), field.type)
            if values is not None:
                array = pa.array(values, field.type).take(where)
            table = table.append_column(field, array)
        return table
