"""Forward passes of all members of an ensemble."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qnal.ensemble.votes import MemberPredictions, Thresholds, gather
from qnal.inference.member_stack import MemberStack
from qnal.network.backends.forward import Forward, member_lines
from qnal.network.network import Network

# An ensemble in TensorFlow, or networks and their functions.
Members = MemberStack | Sequence[tuple[Network, Forward]]


def predictions(
    members: Members,
    x: NDArray,
    thresholds: Thresholds,
    batch_size: int = 512,
) -> MemberPredictions:
    """Answers of all members to spectra on their grid.

    A member's answers do not depend on which others are computed.

    Args:
        members: the members; they must share grid and lines.
        x: renormalised spectra, shape [rows, npix].
        thresholds: when a member votes quasar.
        batch_size: rows in one pass; it bounds memory.

    Raises:
        InputError: an answer is not finite.
    """
    x = np.ascontiguousarray(x, np.float32)
    if isinstance(members, MemberStack):
        return gather(members.lines(x, thresholds, batch_size), thresholds)
    return gather([member_lines(*member, x, batch_size) for member in members], thresholds)
