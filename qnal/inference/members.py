"""The members of an ensemble, ready for forward passes by any backend."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qnal.ensemble.votes import MemberPredictions, Thresholds, gather
from qnal.errors import ConfigError
from qnal.inference.member_stack import MemberStack
from qnal.inference.packing import PackedPredictions, Packing
from qnal.network.backends.forward import Backend, Forward, forward, member_lines
from qnal.network.decode import Lines
from qnal.network.device import has_bfloat16
from qnal.network.network import Network
from qnal.network.precision import Precision


class Members(Protocol):
    """Members that share grid and lines.

    Attributes:
        first: the first network, for what all share: grid, lines, boxes.
        min_lines: which of the lines' confidences decides a vote, counted from the largest.
        margins: largest logit error to be expected of a member, shape [members]; 0 in float32.
    """

    first: Network
    min_lines: int
    margins: NDArray[np.float64]

    def lines(
        self, x: NDArray[np.float32], batch_size: int = 512
    ) -> tuple[list[Lines], NDArray[np.bool_]]:
        """Predictions of each member, and which of them were rechecked, [rows, members]."""


class SeparateMembers:
    """Members that are run one by one in float32, by numpy or QuasarNP."""

    def __init__(self, members: Sequence[tuple[Network, Forward]], min_lines: int = 1) -> None:
        self._members = members
        self.first = members[0][0]
        self.min_lines = min_lines
        self.margins = np.zeros(len(members))

    def lines(
        self, x: NDArray[np.float32], batch_size: int = 512
    ) -> tuple[list[Lines], NDArray[np.bool_]]:
        """Predictions of each member; none is rechecked."""
        lines = [member_lines(*member, x, batch_size) for member in self._members]
        return lines, np.zeros((len(x), len(self._members)), bool)


def members_of(
    networks: Sequence[Network],
    backend: Backend = Backend.tensorflow,
    precision: Precision = Precision.float32,
    min_lines: int = 1,
) -> Members:
    """Networks with what runs them.

    Args:
        networks: the members, in order; they must share grid and lines.
        backend: what computes forward passes.
        precision: of TensorFlow's forward passes; other backends compute in float32.
        min_lines: which of the lines' confidences decides a vote, counted from the largest.

    Raises:
        ConfigError: ``min_lines`` is larger than the number of lines, or the backend cannot
            compute in that precision or run such networks.
    """
    check_min_lines(min_lines, networks[0])
    precision = usable_precision(precision, backend)
    if backend is Backend.tensorflow:
        return MemberStack(networks, precision, min_lines)
    return SeparateMembers([(n, forward(n, backend)) for n in networks], min_lines)


def predictions(
    members: Members, x: NDArray[np.floating], batch_size: int = 512
) -> MemberPredictions:
    """Predictions of all members, not packed; other arguments as of :func:`forward_passes`."""
    return _predictions(members, x, batch_size)[0]


def forward_passes(
    members: Members,
    x: NDArray[np.floating],
    packing: Packing | None = None,
    batch_size: int = 512,
) -> PackedPredictions:
    """Packed predictions of all members; those of a member do not depend on the others.

    Args:
        members: the members.
        x: renormalised spectra on their grid, shape [rows, npix].
        packing: of the predictions; None: that of the members.
        batch_size: rows in one pass; it bounds memory.

    Raises:
        InputError: a prediction is not finite, so a weight file must be corrupt.
    """
    packing = packing or Packing.of([members.first])
    if not len(x):
        return PackedPredictions.of_no_spectra(packing, members.margins)
    return packing.pack(*_predictions(members, x, batch_size), members.margins)


def _predictions(
    members: Members, x: NDArray[np.floating], batch_size: int
) -> tuple[MemberPredictions, NDArray[np.bool_]]:
    lines, rechecked = members.lines(np.ascontiguousarray(x, np.float32), batch_size)
    return gather(lines, Thresholds(min_lines=members.min_lines)), rechecked


def usable_precision(precision: Precision, backend: Backend) -> Precision:
    """The precision on this machine; ``auto`` where it is decided for each member.

    Raises:
        ConfigError: the backend does not have this precision.
    """
    if backend is not Backend.tensorflow:
        if precision is Precision.bfloat16:
            raise ConfigError(
                f"precision=bfloat16 cannot be used with backend={backend}, which computes in "
                "float32; use auto or float32, or backend=tensorflow."
            )
        return Precision.float32
    if precision is Precision.auto and not has_bfloat16():
        return Precision.float32
    return precision


def check_min_lines(min_lines: int, network: Network) -> None:
    """Raise a :class:`ConfigError` unless the network has at least ``min_lines`` lines."""
    most = len(network.lines)
    if not 1 <= min_lines <= most:
        raise ConfigError(
            f"min_lines={min_lines} cannot be used; these networks have {most} lines, so "
            f"it takes 1 to {most}."
        )
