"""From spectra to score columns: the part that the infer stage and the notebook door share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.ensemble.calibration import Calibration
from qnal.ensemble.folder import StoredEnsemble
from qnal.ensemble.forward import Backend, Forward, answers, forward
from qnal.ensemble.votes import Thresholds, score_columns, score_schema
from qnal.errors import ConfigError
from qnal.network.network import Network
from qnal.spectra.grid import Grid
from qnal.spectra.rebin import Status


@dataclass(frozen=True)
class Scorer:
    """Scores spectra with one ensemble.

    Attributes:
        members: networks and their functions, on one grid and with the same lines.
        thresholds: when a member votes quasar.
        bal_trained: whether C_BAL means anything.
        batch_size: spectra in one pass of a member.
        calibration: map of the confidences that the soft outputs are made from, if any.
    """

    members: Sequence[tuple[Network, Forward]]
    thresholds: Thresholds
    bal_trained: bool = True
    batch_size: int = 512
    calibration: Calibration | None = None

    @classmethod
    def of(
        cls,
        stored: StoredEnsemble,
        thresholds: Thresholds,
        backend: Backend = Backend.tensorflow,
        batch_size: int = 512,
        *,
        calibrate: bool = True,
    ) -> "Scorer":
        """A scorer with the members of an ensemble that was read.

        With ``calibrate`` its calibration is used, if it has one for these thresholds.

        Raises:
            ConfigError: ``min_lines`` is more than the members have lines.
        """
        most = len(stored.networks[0].lines)
        if not 1 <= thresholds.min_lines <= most:
            raise ConfigError(
                f"ensemble.min_lines={thresholds.min_lines} cannot be used; these networks have "
                f"{most} lines, so it takes 1 to {most}."
            )
        members = [(network, forward(network, backend)) for network in stored.networks]
        calibration = stored.calibration(thresholds) if calibrate else None
        return cls(members, thresholds, stored.bal_trained, batch_size, calibration)

    @property
    def grid(self) -> Grid:
        """The grid that spectra must be on."""
        return self.members[0][0].grid

    def table(self, identity: pa.Table, x: NDArray[np.floating]) -> pa.Table:
        """The table of spectra with its score columns; null where STATUS is not ``ok``.

        Args:
            identity: columns that describe the spectra, STATUS among them.
            x: renormalised spectra, shape [rows, npix].

        Raises:
            InputError: an answer is not finite, so a weight file must be corrupt.
        """
        network = self.members[0][0]
        schema = score_schema(network.lines, network.bal_lines)
        ok = np.asarray(identity["STATUS"]) == Status.OK
        rows = np.flatnonzero(ok)
        # Row i of the table is answer `where[i]`, or null.
        where = pa.array(np.cumsum(ok) - 1, mask=~ok)
        columns: Sequence[NDArray | None] = [None] * len(schema)
        if len(rows):
            said = answers(self.members, x[rows], self.thresholds, self.batch_size)
            columns = score_columns(said, self.thresholds, self.bal_trained, self.calibration)
        table = identity
        for field, values in zip(schema, columns, strict=True):
            array = pa.nulls(len(ok), field.type)
            if values is not None:
                array = pa.array(values, field.type).take(where)
            table = table.append_column(field, array)
        return table
