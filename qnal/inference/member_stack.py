"""The members of an ensemble as one: their weights in memory once, their passes in one place.

In bfloat16 a pass takes half the time of float32, and votes are those of float32 all the same: a
spectrum and member whose vote is in doubt is computed a second time, in float32.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.ensemble.votes import Thresholds
from qnal.errors import InputError
from qnal.inference.float32_recheck import SLACK, Float32Recheck, Peaks
from qnal.inference.probe_spectra import probe_spectra
from qnal.network.backends.tensorflow_backend import Structure, folded_weights, outputs, structure
from qnal.network.decode import Lines, box_position, decode_positions
from qnal.network.device import has_bfloat16
from qnal.network.network import Network, OffsetActivation
from qnal.network.precision import Precision

# Rows of a call are a multiple of this. From 4 rows on oneDNN gives a spectrum the same bits
# whatever stands beside it, and few shapes are compiled.
TOGETHER = 8
GPU_GROUP = 16  # members computed by one call where there is a GPU
NOWHERE = -1e30  # below any confidence


@dataclass(frozen=True)
class _Group:
    """Members that one call computes; their weights have a first axis if they are several."""

    members: slice
    structure: Structure
    weights: Sequence[Any]
    together: bool


@dataclass(frozen=True)
class _Batch:
    """Spectra on the device: [members or 1, rows, npix], and how many rows are no filling."""

    x: Any
    rows: int


class MemberStack:
    """Members that share grid and lines, run in TensorFlow.

    Args:
        networks: the members, in order; none of them is kept but the first.
        group: members computed by one call as one batched product; 1 computes one after the
            other, which is faster on a CPU. None: by whether there is a GPU.

    Attributes:
        first: the first network, for what all share: grid, lines, boxes.
        precisions: what the first pass of each member is computed in, float32 or bfloat16.
        computed: spectrum-members computed so far; ``repeated`` those that took a second pass.
    """

    def __init__(self, networks: Sequence[Network], group: int | None = None) -> None:
        from qnal.tf import tf

        if group is None:
            group = 1
            if tf.config.list_physical_devices("GPU"):
                # Else float32 is TensorFloat-32 there, whose errors are those of half precision.
                tf.config.experimental.enable_tensor_float_32_execution(False)
                group = GPU_GROUP
        self.first = networks[0]
        self.precisions = (Precision.float32,) * len(networks)
        self._recheck: Float32Recheck | None = None
        self.computed = self.repeated = 0
        self._count = len(networks)
        self._groups = list(_groups(networks, group))

    @classmethod
    def of(
        cls,
        networks: Sequence[Network],
        precision: Precision,
        thresholds: Thresholds,
        group: int | None = None,
    ) -> "MemberStack":
        """A stack of the given precision.

        ``auto`` is bfloat16 for the members for which a trial on
        :func:`trial_spectra` shows that votes come out as in float32 and
        that few second passes are needed, if the processor computes bfloat16 itself; else float32.
        Nothing is timed: the member, the thresholds and the kind of processor decide, whatever
        other members there are.
        """
        stack = cls(networks, group)
        auto = precision is Precision.auto
        if precision is Precision.float32 or (auto and not has_bfloat16()):
            return stack
        x, first = probe_spectra(stack.first.grid), stack.first
        exact, narrow = (
            stack.peaks(x, thresholds, kind) for kind in (Precision.float32, Precision.bfloat16)
        )
        linear = first.offset_activation is OffsetActivation.linear
        recheck = Float32Recheck.measured(narrow, exact, len(first.lines), linear)
        ours, theirs = (np.stack([s.z_best for s in stack._lines(p)]) for p in (narrow, exact))
        holds = recheck.holds(narrow, exact, (ours, theirs), thresholds) | (not auto)
        stack.precisions = tuple(Precision.bfloat16 if h else Precision.float32 for h in holds)
        stack._recheck = recheck
        return stack

    def __len__(self) -> int:
        return self._count

    @property
    def precision(self) -> Precision:
        """float32, or bfloat16 if any member is computed in it."""
        return max(self.precisions, key=lambda precision: precision is Precision.bfloat16)

    @property
    def repeated_share(self) -> float:
        """Share of the spectrum-members so far that took a second pass in float32."""
        return self.repeated / max(self.computed, 1)

    def lines(
        self, x: NDArray[np.float32], thresholds: Thresholds, batch_size: int = 512
    ) -> list[Lines]:
        """What each member says of spectra.

        Args:
            x: renormalised spectra, shape [rows, npix].
            thresholds: for which votes must be those of float32; with other ones a vote may
                differ if its confidence is within the error of bfloat16 of the threshold.
            batch_size: rows in one call; it bounds memory and changes no answer.

        Raises:
            InputError: an answer is not finite.
        """
        said = []
        batches = _batches(x[None], batch_size)
        for group in self._groups:
            narrow = np.array([p is Precision.bfloat16 for p in self.precisions[group.members]])
            precision = Precision.bfloat16 if narrow.any() else Precision.float32
            peaks = self._peaks(group, batches, thresholds, precision)
            if self._recheck and narrow.any():
                recheck = self._recheck.of(group.members).about(peaks, thresholds)
                recheck |= ~narrow[:, None]
                self._repeat(group, peaks, recheck, x, thresholds, batch_size)
                self.repeated += int(recheck.sum())
            said += self._lines(peaks)
        self.computed += len(x) * len(self)
        return said

    def peaks(
        self,
        x: NDArray[np.float32],
        thresholds: Thresholds,
        precision: Precision,
        batch_size: int = 512,
    ) -> Peaks:
        """The highest boxes of all members in one precision, without a second pass."""
        batches = _batches(x[None], batch_size)
        parts = [self._peaks(group, batches, thresholds, precision) for group in self._groups]
        names = Peaks.__dataclass_fields__
        return Peaks(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def _repeat(
        self,
        group: _Group,
        peaks: Peaks,
        recheck: NDArray[np.bool_],
        x: NDArray[np.float32],
        thresholds: Thresholds,
        batch_size: int,
    ) -> None:
        """Replace the answers that are in doubt by those of float32."""
        most = int(recheck.sum(axis=1).max())
        if not most:
            return
        # Rows in doubt first, of each member; behind them others fill up what is not needed.
        rows = np.argsort(~recheck, axis=1, kind="stable")[:, :most]
        batches = _batches(x[rows], batch_size)
        exact = self._peaks(group, batches, thresholds, Precision.float32)
        member = np.arange(len(rows))[:, None]
        peaks.confidence[member, rows] = exact.confidence
        peaks.box[member, rows] = exact.box
        peaks.offset[member, rows] = exact.offset

    def _peaks(
        self, group: _Group, batches: Sequence[_Batch], thresholds: Thresholds, precision: Precision
    ) -> Peaks:
        """Highest boxes of a group of members."""
        from qnal.tf import tf

        first = self.first
        edge = box_position(
            thresholds.high_z, boxes=first.boxes, lines=first.lines, grid=first.grid
        )
        edge = tf.constant(edge, tf.float32)
        function = _compiled_peaks(group.structure, len(first.lines), precision, group.together)
        parts = []
        for batch in batches:
            x = batch.x if group.together else batch.x[0]
            *peaks, total = function(x, edge, *group.weights)
            if not np.isfinite(total.numpy()).all():
                raise InputError(
                    "a member's answer is not finite; its weight file must be corrupt."
                )
            arrays = (p.numpy() if group.together else p.numpy()[None] for p in peaks)
            parts.append([a[:, : batch.rows] for a in arrays])
        return Peaks(*(np.concatenate(p, axis=1) for p in zip(*parts, strict=True)))

    def _lines(self, peaks: Peaks) -> list[Lines]:
        first, place = self.first, peaks.box + peaks.offset.astype(np.float64)
        return [
            decode_positions(confidence, at, boxes=first.boxes, lines=first.lines, grid=first.grid)
            for confidence, at in zip(peaks.confidence, place, strict=True)
        ]


def _batches(x: NDArray[np.float32], size: int) -> list[_Batch]:
    from qnal.tf import tf

    batches = []
    for start in range(0, x.shape[1], size):
        batch = x[:, start : start + size]
        rows = batch.shape[1]
        filled = np.pad(batch, ((0, 0), (0, -rows % TOGETHER), (0, 0)))
        batches.append(_Batch(tf.constant(filled, tf.float32), rows))
    return batches


def _groups(networks: Sequence[Network], most: int) -> Iterator[_Group]:
    """Neighbours of equal structure, at most that many in one."""
    from qnal.tf import tf

    start = 0
    while start < len(networks):
        like = structure(networks[start])
        stop = start + 1
        while stop < min(start + most, len(networks)) and structure(networks[stop]) == like:
            stop += 1
        folded = [folded_weights(network) for network in networks[start:stop]]
        if most == 1:
            weights = [tf.constant(array, tf.float32) for array in folded[0]]
        else:
            stacked = (np.stack(arrays) for arrays in zip(*folded, strict=True))
            weights = [tf.constant(array, tf.float32) for array in stacked]
        yield _Group(slice(start, stop), like, weights, most > 1)
        start = stop


_compiled: dict[tuple[Any, ...], Any] = {}


def _compiled_peaks(like: Structure, lines: int, precision: Precision, together: bool) -> Any:
    """The compiled function of a structure; weights are its arguments."""
    from qnal.tf import tf

    key = (like, lines, precision, together)
    if key not in _compiled:
        kind = tf.as_dtype(precision.value)
        _, _, pixels, shapes = like
        members = [None] if together else []
        given = [[*members, None, pixels], [lines], *([*members, *shape] for shape in shapes[:-1])]
        _compiled[key] = tf.function(
            lambda x, edge, *weights: _highest(outputs(x, weights, kind, like), edge, lines),
            [tf.TensorSpec(shape, tf.float32) for shape in given],
            autograph=False,
        ).get_concrete_function()  # which takes less time to call
    return _compiled[key]


def _highest(output: Any, edge: Any, lines: int) -> tuple[Any, ...]:
    """:class:`Peaks` of an output […, rows, heads, 2, boxes], as tensors, and the sum of it all.

    Args:
        output: boxes and offsets.
        edge: where each line is at ``high_z``, in boxes, shape [lines].
        lines: number of heads that vote.

    Returns:
        confidence, number of the box, offset, below, above, and a sum, finite if all is.
    """
    from qnal.tf import tf

    boxes, offsets = output[..., 0, :], output[..., 1, :]
    count = boxes.shape[-1]
    number = tf.range(count)
    confidence = tf.reduce_max(boxes, axis=-1)
    # The first of equals, as numpy's argmax has it; TensorFlow's promises nothing.
    best = tf.where(boxes == confidence[..., None], number, count - 1)
    best = tf.reduce_min(best, axis=-1)
    offset = tf.gather(offsets, best, batch_dims=len(best.shape))
    beyond = tf.cast(number, offsets.dtype) + offsets[..., :lines, :] - edge[:, None]
    below = tf.where(beyond < SLACK, boxes[..., :lines, :], NOWHERE)
    above = tf.where(beyond >= -SLACK, boxes[..., :lines, :], NOWHERE)
    sides = (tf.reduce_max(side, axis=[-2, -1]) for side in (below, above))
    return confidence, best, offset, *sides, tf.reduce_sum(output)
