"""Members of an ensemble run in TensorFlow, with their weights in memory once.

In bfloat16 a forward pass takes half the time of float32. Predictions whose vote rounding could
change are computed again in float32 (:mod:`qnal.inference.float32_recheck`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.inference.float32_recheck import HIGH_Z, SLACK, Float32Recheck, Peaks
from qnal.inference.probe_spectra import probe_spectra
from qnal.network.backends.tensorflow_backend import Structure, folded_weights, outputs, structure
from qnal.network.decode import Lines, box_position, decode_positions
from qnal.network.device import has_bfloat16
from qnal.network.network import Network
from qnal.network.precision import Precision

# Rows of a call are a multiple of this, so that a spectrum has the same bits whatever other spectra
# are in the batch. Multiples of 8 are enough for this on processors with AVX-512, but not on those
# with AVX2. Also, fewer shapes are compiled.
ROW_MULTIPLE = 24
GPU_GROUP = 16  # members computed by one call on a GPU
NOWHERE = -1e30  # below any confidence


@dataclass(frozen=True)
class _Group:
    """Members computed by one call; the weights of several have a leading axis of members."""

    members: slice
    structure: Structure
    weights: Sequence[Any]
    stacked: bool


@dataclass(frozen=True)
class _Batch:
    """Spectra on the device, [members or 1, rows, npix], and the number of rows before padding."""

    x: Any
    rows: int


class MemberStack:
    """Members that share grid and lines, run in TensorFlow.

    With ``precision=auto`` a member runs in bfloat16 if the hardware multiplies such numbers and
    the probe spectra show that bfloat16 suits the member (:meth:`Float32Recheck.suits`). Nothing is
    timed, and other members and the job's thresholds have no influence.

    Args:
        networks: the members, in order; only the first one is kept.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        min_lines: which of the lines' confidences decides a vote, counted from the largest.
        group: members computed by one call as one batched product; with 1 they are computed one
            after the other, which is faster on a CPU. None: 1, or ``GPU_GROUP`` on a GPU.

    Attributes:
        first: the first network, for what all share: grid, lines, boxes.
        min_lines: as given.
        precisions: of each member's first pass, float32 or bfloat16.
        margins: largest logit error to be expected of a member, shape [members]; 0 in float32.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        precision: Precision = Precision.float32,
        min_lines: int = 1,
        group: int | None = None,
    ) -> None:
        from qnal.tf import tf

        if group is None:
            group = 1
            if tf.config.list_physical_devices("GPU"):
                # Otherwise float32 is TensorFloat-32, whose errors are those of half precision.
                tf.config.experimental.enable_tensor_float_32_execution(False)
                group = GPU_GROUP
        self.first = networks[0]
        self.min_lines = min_lines
        self.precisions = (Precision.float32,) * len(networks)
        self.margins = np.zeros(len(networks))
        self._recheck: Float32Recheck | None = None
        self._groups = list(_groups(networks, group))
        if precision is Precision.bfloat16 or (precision is Precision.auto and has_bfloat16()):
            self._use_bfloat16(always=precision is Precision.bfloat16)

    def _use_bfloat16(self, always: bool) -> None:
        """Measure the error on the probe spectra, and use bfloat16 where it suits."""
        x = probe_spectra(self.first.grid)
        exact, narrow = (self.peaks(x, p) for p in (Precision.float32, Precision.bfloat16))
        recheck = Float32Recheck.measured(narrow, exact, self.first, self.min_lines)
        ours, theirs = (
            np.stack([lines.z_best for lines in self._lines(peaks)]) for peaks in (narrow, exact)
        )
        suits = recheck.suits(narrow, exact, (ours, theirs)) | always
        self.precisions = tuple(Precision.bfloat16 if s else Precision.float32 for s in suits)
        self.margins = np.where(suits, recheck.margins, 0)
        self._recheck = recheck

    def __len__(self) -> int:
        return len(self.precisions)

    def lines(
        self, x: NDArray[np.float32], batch_size: int = 512
    ) -> tuple[list[Lines], NDArray[np.bool_]]:
        """Predictions of each member for spectra.

        Args:
            x: renormalised spectra, shape [rows, npix].
            batch_size: rows in one call; it bounds memory and changes no prediction.

        Returns:
            The lines by member, and which predictions of bfloat16 members were computed again in
            float32, shape [rows, members].

        Raises:
            InputError: a prediction is not finite.
        """
        lines = []
        rechecked = np.zeros((len(self), len(x)), bool)
        batches = _batches(x[None], batch_size)
        for group in self._groups:
            narrow = np.array([p is Precision.bfloat16 for p in self.precisions[group.members]])
            precision = Precision.bfloat16 if narrow.any() else Precision.float32
            peaks = self._peaks(group, batches, precision)
            if self._recheck and narrow.any():
                needed = self._recheck.of(group.members).needed(peaks)
                self._repeat(group, peaks, needed | ~narrow[:, None], x, batch_size)
                rechecked[group.members] = needed & narrow[:, None]
            lines += self._lines(peaks)
        return lines, rechecked.T

    def peaks(self, x: NDArray[np.float32], precision: Precision, batch_size: int = 512) -> Peaks:
        """The highest boxes of all members in one precision, without a recheck."""
        batches = _batches(x[None], batch_size)
        parts = [self._peaks(group, batches, precision) for group in self._groups]
        names = Peaks.__dataclass_fields__
        return Peaks(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def _repeat(
        self,
        group: _Group,
        peaks: Peaks,
        needed: NDArray[np.bool_],
        x: NDArray[np.float32],
        batch_size: int,
    ) -> None:
        """Replace predictions by those of float32."""
        most = int(needed.sum(axis=1).max())
        if not most:
            return
        # The needed rows of each member first; others fill up where it needs fewer than another.
        rows = np.argsort(~needed, axis=1, kind="stable")[:, :most]
        exact = self._peaks(group, _batches(x[rows], batch_size), Precision.float32)
        member = np.arange(len(rows))[:, None]
        peaks.confidence[member, rows] = exact.confidence
        peaks.box[member, rows] = exact.box
        peaks.offset[member, rows] = exact.offset

    def _peaks(self, group: _Group, batches: Sequence[_Batch], precision: Precision) -> Peaks:
        """Highest boxes of a group of members."""
        from qnal.tf import tf

        first = self.first
        edge = box_position(HIGH_Z, boxes=first.boxes, lines=first.lines, grid=first.grid)
        edge = tf.constant(edge, tf.float32)
        function = _compiled_peaks(group.structure, len(first.lines), precision, group.stacked)
        parts = []
        for batch in batches:
            x = batch.x if group.stacked else batch.x[0]
            *peaks, total = function(x, edge, *group.weights)
            if not np.isfinite(total.numpy()).all():
                raise InputError(
                    "the output of a member is not finite; its weight file must be corrupt."
                )
            arrays = (p.numpy() if group.stacked else p.numpy()[None] for p in peaks)
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
    size = max(size - size % ROW_MULTIPLE, ROW_MULTIPLE)  # so that only the last one is padded
    for start in range(0, x.shape[1], size):
        batch = x[:, start : start + size]
        rows = batch.shape[1]
        filled = np.pad(batch, ((0, 0), (0, -rows % ROW_MULTIPLE), (0, 0)))
        batches.append(_Batch(tf.constant(filled, tf.float32), rows))
    return batches


def _groups(networks: Sequence[Network], most: int) -> Iterator[_Group]:
    """Consecutive members of equal structure, at most ``most`` in one group."""
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


def _compiled_peaks(like: Structure, lines: int, precision: Precision, stacked: bool) -> Any:
    """The compiled function of a structure; the weights are arguments."""
    from qnal.tf import tf

    key = (like, lines, precision, stacked)
    if key not in _compiled:
        kind = tf.as_dtype(precision.value)
        _, _, pixels, shapes = like
        members = [None] if stacked else []
        given = [[*members, None, pixels], [lines], *([*members, *shape] for shape in shapes[:-1])]
        _compiled[key] = tf.function(
            lambda x, edge, *weights: _highest(outputs(x, weights, kind, like), edge, lines),
            [tf.TensorSpec(shape, tf.float32) for shape in given],
            autograph=False,
        ).get_concrete_function()  # faster to call than a tf.function
    return _compiled[key]


def _highest(output: Any, edge: Any, lines: int) -> tuple[Any, ...]:
    """:class:`Peaks` of an output […, rows, heads, 2, boxes], as tensors.

    Args:
        output: boxes and offsets.
        edge: position of each line at ``HIGH_Z``, in boxes, shape [lines].
        lines: number of heads that vote.

    Returns:
        confidence, index of the box, offset, below, above, and the sum of the output, which is
        finite if all of it is.
    """
    from qnal.tf import tf

    boxes, offsets = output[..., 0, :], output[..., 1, :]
    count = boxes.shape[-1]
    number = tf.range(count)
    confidence = tf.reduce_max(boxes, axis=-1)
    # The first of equal boxes, as numpy's argmax; that of TensorFlow is unspecified.
    best = tf.where(boxes == confidence[..., None], number, count - 1)
    best = tf.reduce_min(best, axis=-1)
    offset = tf.gather(offsets, best, batch_dims=len(best.shape))
    beyond = tf.cast(number, offsets.dtype) + offsets[..., :lines, :] - edge[:, None]
    below = tf.where(beyond < SLACK, boxes[..., :lines, :], NOWHERE)
    above = tf.where(beyond >= -SLACK, boxes[..., :lines, :], NOWHERE)
    sides = (tf.reduce_max(side, axis=[-2, -1]) for side in (below, above))
    return confidence, best, offset, *sides, tf.reduce_sum(output)
