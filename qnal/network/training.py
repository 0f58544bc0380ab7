"""Fitting one QuasarNET: the training step and the epochs around it.

The step is one ``tf.function`` over plain convolutions rather than ``keras.Model.fit``: all heads
are one matrix product, and dropout takes two masks from every 32 random bits. Loss, optimizer
(Adam as Keras has it), dropout rate and batch norm are those of the reference. The trained bias of
a convolution would be undone by the batch norm behind it, so biases stay 0 there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnal.network.loss import quasarnet_loss
from qnal.network.network import (
    BATCH_NORM_EPSILON,
    BATCH_NORM_MOMENTUM,
    RESCALE,
    BatchNorm,
    Conv,
    Network,
    OffsetActivation,
)
from qnal.network.targets import Targets
from qnal.network.tf import tf

BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-7


@dataclass(frozen=True)
class Schedule:
    """How a network is fitted; defaults are the reference's."""

    epochs: int = 8
    min_steps: int = 600
    batch_size: int = 256
    learning_rate: float = 2e-4
    amsgrad: bool = False
    dropout: float = 0.2
    reg_conv: float = 0.0
    reg_dense: float = 0.0

    def epochs_for(self, rows: int) -> int:
        """``epochs``, or as many as make ``min_steps`` optimizer steps."""
        steps = -(-rows // self.batch_size)
        return max(self.epochs, -(-self.min_steps // steps))


class Trainer:
    """Fits networks of one structure, one after the other, with one compiled step.

    Args:
        network: any network of the structure; its weights do not matter.
        schedule: how to fit.
        x: all spectra, shape [rows, npix]; they stay in memory once, whatever is drawn from them.
        targets: their targets.
    """

    def __init__(
        self, network: Network, schedule: Schedule, x: NDArray[np.float32], targets: Targets
    ) -> None:
        self.template = network
        self.schedule = schedule
        self.x = tf.constant(x, tf.float32)
        self.boxes = tf.constant(targets.boxes)
        self.offsets = tf.constant(targets.offsets)
        self.weights = tf.constant(targets.weights)
        self.trained = [tf.Variable(a) for a in _trained_arrays(network)]
        self.averages = [tf.Variable(a) for a in _average_arrays(network)]
        moments = 3 if schedule.amsgrad else 2
        self.moments = [[tf.Variable(tf.zeros_like(v)) for v in self.trained]
                        for _ in range(moments)]  # fmt: skip
        self.step_count = tf.Variable(0, dtype=tf.int64)
        rows = tf.TensorSpec([None], tf.int32)
        self._step = tf.function(self._train_step, [rows, tf.TensorSpec([2], tf.int32)])

    def fit(
        self,
        network: Network,
        rows: NDArray[np.integer],
        rng: np.random.Generator,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> tuple[Network, list[float]]:
        """Fit from the weights of ``network`` on the given rows of ``x``.

        Args:
            network: initial weights.
            rows: indices into ``x``, repeated as the bootstrap drew them.
            rng: gives the order of batches and the dropout bits.
            on_epoch: called with the epochs done and the epoch's mean loss.

        Returns:
            The fitted network and the mean training loss of every epoch; the loss is NaN from the
            epoch on in which training diverged, and fitting stops there.
        """
        self._reset(network)
        dropout_seed = int(rng.integers(2**31))
        size, losses = self.schedule.batch_size, []
        for epoch in range(self.schedule.epochs_for(len(rows))):
            order = rng.permutation(rows).astype(np.int32)
            total = 0.0
            for start in range(0, len(order), size):
                batch = order[start : start + size]
                seed = [dropout_seed, int(self.step_count)]
                total += float(self._step(batch, seed)) * len(batch)
            losses.append(total / len(rows))
            if on_epoch:
                on_epoch(epoch + 1, losses[-1])
            if not np.isfinite(losses[-1]):
                break
        return self._network(), losses

    def _reset(self, network: Network) -> None:
        for variables, arrays in (
            (self.trained, _trained_arrays(network)),
            (self.averages, _average_arrays(network)),
        ):
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)
        for moments in self.moments:
            for variable in moments:
                variable.assign(tf.zeros_like(variable))
        self.step_count.assign(0)

    def _train_step(self, rows: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            output, averages = self._forward(tf.gather(self.x, rows), seed)
            loss = quasarnet_loss(
                output, tf.gather(self.boxes, rows), tf.gather(self.offsets, rows)
            )
            loss = tf.reduce_mean(tf.reduce_sum(loss * tf.gather(self.weights, rows), axis=1))
            loss += self._regularisation()
        gradients = tape.gradient(loss, self.trained)
        for variable, value in zip(self.averages, averages, strict=True):
            variable.assign(variable * BATCH_NORM_MOMENTUM + value * (1 - BATCH_NORM_MOMENTUM))
        self._adam(gradients)
        return loss

    def _forward(self, x: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Output in training mode, and the batch means and variances of every norm."""
        convs = self.template.convs
        averages: list[tf.Tensor] = []
        y = x[:, None, :, None]
        for k, conv in enumerate(convs):
            kernel, gamma, beta = self.trained[3 * k : 3 * k + 3]
            y = tf.nn.conv2d(y, kernel[None], [1, conv.stride], conv.padding.value.upper())
            y, batch = _batch_norm(y, gamma, beta)
            averages += batch
            y = _dropout(tf.nn.relu(y), self.schedule.dropout, seed + [k, 0])
        kernel, gamma, beta, head_kernel, head_bias = self.trained[3 * len(convs) :]
        y = tf.reshape(y, [-1, kernel.shape[0]]) @ kernel
        y, batch = _batch_norm(y[:, None, None], gamma, beta)
        averages += batch
        y = tf.nn.relu(y[:, 0, 0])
        units, heads, _, boxes = head_kernel.shape
        y = tf.reshape(y @ tf.reshape(head_kernel, [units, -1]), [-1, heads, 2, boxes])
        return _activate(y + head_bias, self.template.offset_activation), averages

    def _regularisation(self) -> tf.Tensor:
        kernels = self.trained[: 3 * len(self.template.convs) : 3]
        total = tf.constant(0.0)
        if self.schedule.reg_conv:
            total += self.schedule.reg_conv * tf.add_n([tf.reduce_sum(k * k) for k in kernels])
        if self.schedule.reg_dense:
            dense = self.trained[3 * len(self.template.convs)]
            total += self.schedule.reg_dense * tf.reduce_sum(dense * dense)
        return total

    def _adam(self, gradients: list[tf.Tensor]) -> None:
        """One step of Adam or AMSGrad, in Keras's form (epsilon outside the bias correction)."""
        self.step_count.assign_add(1)
        t = tf.cast(self.step_count, tf.float32)
        rate = self.schedule.learning_rate * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        for k, (variable, gradient) in enumerate(zip(self.trained, gradients, strict=True)):
            first, second = self.moments[0][k], self.moments[1][k]
            first.assign_add((gradient - first) * (1 - BETA_1))
            second.assign_add((tf.square(gradient) - second) * (1 - BETA_2))
            scale = second
            if self.schedule.amsgrad:
                scale = self.moments[2][k].assign(tf.maximum(self.moments[2][k], second))
            variable.assign_sub(rate * first / (tf.sqrt(scale) + ADAM_EPSILON))

    def _network(self) -> Network:
        """The current weights as a network."""
        values = [v.numpy() for v in self.trained]
        mean_variance = [v.numpy() for v in self.averages]
        norms = []
        for k in range(len(self.template.convs) + 1):
            gamma, beta = values[3 * k + 1], values[3 * k + 2]
            norms.append(BatchNorm(gamma, beta, *mean_variance[2 * k : 2 * k + 2]))
        convs = tuple(
            Conv(values[3 * k], conv.bias * 0, norms[k], conv.stride, conv.padding)
            for k, conv in enumerate(self.template.convs)
        )
        return Network(
            **vars(self.template)
            | {
                "convs": convs,
                "dense_kernel": values[3 * len(convs)],
                "dense_bias": self.template.dense_bias * 0,
                "dense_norm": norms[-1],
                "head_kernel": values[-2],
                "head_bias": values[-1],
            }
        )


def _trained_arrays(network: Network) -> list[NDArray]:
    """kernel, gamma, beta of every convolution and of the dense layer, then the heads."""
    arrays = [a for c in network.convs for a in (c.kernel, c.norm.gamma, c.norm.beta)]
    norm = network.dense_norm
    arrays += [network.dense_kernel, norm.gamma, norm.beta]
    return [np.asarray(a, np.float32) for a in (*arrays, network.head_kernel, network.head_bias)]


def _average_arrays(network: Network) -> list[NDArray]:
    norms = [*(c.norm for c in network.convs), network.dense_norm]
    return [np.asarray(a, np.float32) for norm in norms for a in (norm.mean, norm.variance)]


def _batch_norm(
    y: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Batch norm of [rows, 1, pixels, channels] and the batch's mean and (biased) variance."""
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        y, gamma, beta, epsilon=BATCH_NORM_EPSILON, is_training=True
    )
    # The fused operation reports the unbiased variance; Keras averages the biased one.
    count = tf.cast(tf.reduce_prod(tf.shape(y)[:3]), tf.float32)
    return y, [mean, variance * (count - 1) / tf.maximum(count, 1)]


def _dropout(y: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Inverted dropout with 16 random bits a value."""
    if not rate:
        return y
    size = tf.size(y)
    bits = tf.random.stateless_uniform([(size + 1) // 2], seed, None, None, tf.int32)
    bits = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size]
    keep = tf.reshape(tf.cast(bits, tf.int32) >= round(rate * 2**16), tf.shape(y))
    return y * tf.cast(keep, y.dtype) / (1 - rate)


def _activate(y: tf.Tensor, kind: OffsetActivation) -> tf.Tensor:
    """Activation of boxes (first of axis 2) and offsets (second)."""
    if kind is not OffsetActivation.linear:
        y = tf.sigmoid(y)
    if kind is OffsetActivation.sigmoid:
        return y
    factor, shift = RESCALE
    return y * [[1.0], [factor]] + [[0.0], [shift]]
