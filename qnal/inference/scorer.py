"""From spectra to score columns: the part that the infer stage and the notebook door share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.ensemble.calibration import Calibration
from qnal.ensemble.stored import StoredEnsemble
from qnal.ensemble.votes import Thresholds, score_columns, score_schema
from qnal.errors import ConfigError
from qnal.inference.forward_passes import Members, predictions
from qnal.inference.member_stack import MemberStack
from qnal.inference.packing import PackedPredictions, Packing
from qnal.network.backends.forward import Backend, forward
from qnal.network.device import has_bfloat16
from qnal.network.network import Network
from qnal.network.precision import Precision
from qnal.spectra.grid import Grid
from qnal.spectra.rebin import Status


@dataclass(frozen=True)
class CombinationRule:
    """What scores depend on besides the members' answers.

    Attributes:
        thresholds: when a member votes quasar.
        bal_trained: whether C_BAL means anything.
        calibration: map of the confidences that the soft outputs are made from, if any.
    """

    thresholds: Thresholds
    bal_trained: bool = True
    calibration: Calibration | None = None

    def table(
        self, target_table: pa.Table, packed: PackedPredictions, packing: Packing
    ) -> pa.Table:
        """The table of spectra with its score columns; null where STATUS is not ``ok``.

        Args:
            identity: columns that describe the spectra, STATUS among them.
            coded: answers to those whose STATUS is ``ok``, in order.
            coding: of the answers.
        """
        schema = score_schema(packing.lines, packing.bal_lines)
        ok = is_ok(target_table)
        # Row i of the table is answer `where[i]`, or null.
        where = pa.array(np.cumsum(ok) - 1, mask=~ok)
        columns: Sequence[NDArray | None] = [None] * len(schema)
        if ok.any():
            said = packing.decode(packed)
            columns = score_columns(said, self.thresholds, self.bal_trained, self.calibration)
        table = target_table
        for field, values in zip(schema, columns, strict=True):
            array = pa.nulls(len(ok), field.type)
            if values is not None:
                array = pa.array(values, field.type).take(where)
            table = table.append_column(field, array)
        return table


@dataclass(frozen=True)
class Scorer:
    """Scores spectra with one ensemble.

    Attributes:
        members: networks and their functions, or a stack; on one grid and with the same lines.
        judgement: what makes scores of their answers.
        batch_size: spectra in one pass of a member.
    """

    members: Members
    rule: CombinationRule
    batch_size: int = 512

    @classmethod
    def of(
        cls,
        stored: StoredEnsemble,
        thresholds: Thresholds,
        backend: Backend = Backend.tensorflow,
        batch_size: int = 512,
        precision: Precision = Precision.float32,
        *,
        calibrate: bool = True,
    ) -> "Scorer":
        """A scorer with the members of an ensemble that was read.

        Args:
            stored: the ensemble.
            thresholds: when a member votes quasar.
            backend: what computes forward passes.
            batch_size: spectra in one pass of a member.
            precision: of TensorFlow's passes; other backends compute in float32.
            calibrate: whether to use its calibration, if it has one for these thresholds.

        Raises:
            ConfigError: ``min_lines`` is more than the members have lines, or the backend has no
                such precision.
        """
        check_min_lines(thresholds, stored.networks[0])
        precision = kept_precision(precision, backend)
        members: Members
        if backend is Backend.tensorflow:
            members = MemberStack.of(stored.networks, precision, thresholds)
        else:
            members = [(network, forward(network, backend)) for network in stored.networks]
        calibration = stored.description.calibration_for(thresholds) if calibrate else None
        rule = CombinationRule(thresholds, stored.description.bal_trained, calibration)
        return cls(members, rule, batch_size)

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

    @property
    def packing(self) -> Packing:
        """How the members' answers are coded."""
        return Packing.of([self.network])

    def table(self, target_table: pa.Table, x: NDArray[np.floating]) -> pa.Table:
        """The table of spectra with its score columns; null where STATUS is not ``ok``.

        Args:
            identity: columns that describe the spectra, STATUS among them.
            x: renormalised spectra, shape [rows, npix].

        Raises:
            InputError: an answer is not finite, so a weight file must be corrupt.
        """
        packing = self.packing
        packed = self.packed(x[is_ok(target_table)], packing)
        return self.rule.table(target_table, packed, packing)

    def packed(self, x: NDArray[np.floating], packing: Packing) -> PackedPredictions:
        """Answers of all members to usable spectra, shape [rows, npix].

        Raises:
            InputError: an answer is not finite, so a weight file must be corrupt.
        """
        if not len(x):
            return PackedPredictions.of_no_spectra(packing, len(self.members))
        said = predictions(self.members, x, self.rule.thresholds, self.batch_size)
        return packing.encode(said)


def kept_precision(precision: Precision, backend: Backend) -> Precision:
    """What answers are computed in on this machine; ``auto`` where each member decides it.

    Raises:
        ConfigError: the backend has no such precision.
    """
    if backend is not Backend.tensorflow:
        if precision is Precision.bfloat16:
            raise ConfigError(
                f"infer.precision=bfloat16 cannot be used with infer.backend={backend}, which "
                "computes in float32; it takes auto, float32, or infer.backend=tensorflow."
            )
        return Precision.float32
    if precision is Precision.auto and not has_bfloat16():
        return Precision.float32
    return precision


def check_min_lines(thresholds: Thresholds, network: Network) -> None:
    """Raise a :class:`ConfigError` where ``min_lines`` is more than a network has lines."""
    most = len(network.lines)
    if not 1 <= thresholds.min_lines <= most:
        raise ConfigError(
            f"ensemble.min_lines={thresholds.min_lines} cannot be used; these networks have "
            f"{most} lines, so it takes 1 to {most}."
        )


def is_ok(target_table: pa.Table) -> NDArray[np.bool_]:
    """Which rows of a table are usable spectra."""
    return np.asarray(target_table["STATUS"]) == Status.OK
