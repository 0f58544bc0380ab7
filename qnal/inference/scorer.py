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
from qnal.inference.forward_passes import Members, answers
from qnal.inference.member_stack import MemberStack
from qnal.inference.packing import CodedAnswers, Coding
from qnal.network.backends.forward import Backend, forward
from qnal.network.device import has_bfloat16
from qnal.network.network import Network
from qnal.network.precision import Precision
from qnal.spectra.grid import Grid
from qnal.spectra.rebin import Status


@dataclass(frozen=True)
class Judgement:
    """What scores depend on besides the members' answers.

    Attributes:
        thresholds: when a member votes quasar.
        bal_trained: whether C_BAL means anything.
        calibration: map of the confidences that the soft outputs are made from, if any.
    """

    thresholds: Thresholds
    bal_trained: bool = True
    calibration: Calibration | None = None

    def table(self, identity: pa.Table, coded: CodedAnswers, coding: Coding) -> pa.Table:
        """The table of spectra with its score columns; null where STATUS is not ``ok``.

        Args:
            identity: columns that describe the spectra, STATUS among them.
            coded: answers to those whose STATUS is ``ok``, in order.
            coding: of the answers.
        """
        schema = score_schema(coding.lines, coding.bal_lines)
        ok = is_ok(identity)
        # Row i of the table is answer `where[i]`, or null.
        where = pa.array(np.cumsum(ok) - 1, mask=~ok)
        columns: Sequence[NDArray | None] = [None] * len(schema)
        if ok.any():
            said = coding.decode(coded)
            columns = score_columns(said, self.thresholds, self.bal_trained, self.calibration)
        table = identity
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
    judgement: Judgement
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
        calibration = stored.calibration(thresholds) if calibrate else None
        judgement = Judgement(thresholds, stored.bal_trained, calibration)
        return cls(members, judgement, batch_size)

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
    def coding(self) -> Coding:
        """How the members' answers are coded."""
        return Coding.of([self.network])

    def table(self, identity: pa.Table, x: NDArray[np.floating]) -> pa.Table:
        """The table of spectra with its score columns; null where STATUS is not ``ok``.

        Args:
            identity: columns that describe the spectra, STATUS among them.
            x: renormalised spectra, shape [rows, npix].

        Raises:
            InputError: an answer is not finite, so a weight file must be corrupt.
        """
        coding = self.coding
        coded = self.coded(x[is_ok(identity)], coding)
        return self.judgement.table(identity, coded, coding)

    def coded(self, x: NDArray[np.floating], coding: Coding) -> CodedAnswers:
        """Answers of all members to usable spectra, shape [rows, npix].

        Raises:
            InputError: an answer is not finite, so a weight file must be corrupt.
        """
        if not len(x):
            return CodedAnswers.of_no_spectra(coding, len(self.members))
        said = answers(self.members, x, self.judgement.thresholds, self.batch_size)
        return coding.encode(said)


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


def is_ok(identity: pa.Table) -> NDArray[np.bool_]:
    """Which rows of a table are usable spectra."""
    return np.asarray(identity["STATUS"]) == Status.OK
