"""Fitting QuasarNETs: the training step and the epochs around it.

The step is one ``tf.function`` rather than ``keras.Model.fit``: one or several members at once, all
heads one matrix product, all weights one vector. Loss, optimizer (Adam as Keras has it), dropout
rate and batch norm are those of the reference.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from qnal.network.dropout import Dropout, dropped_relu
from qnal.network.hyperparameters import Course, Hyperparameters, Start
from qnal.network.layers import (
    batch_norm,
    block_kernel,
    blocks,
    convolved,
    first_convolution,
    product,
    reach,
)
from qnal.network.loss import quasarnet_loss
from qnal.network.network import BATCH_NORM_MOMENTUM, RESCALE, Network, OffsetActivation
from qnal.network.optimizer import Adam
from qnal.network.parameters import Parameters
from qnal.network.precision import resolved
from qnal.network.targets import Targets
from qnal.tf import tf


class Trainer:
    """Fits networks of one structure with one compiled step.

    Args:
        network: any network of the structure; its weights do not matter.
        schedule: how to fit.
        x: all spectra, shape [rows, npix]; they stay in memory once, whatever is drawn from them.
        targets: their targets.
        group: how many members are fitted together at most. For one, the operations are those
            that are fastest on a processor; more pay on a GPU.
    """

    def __init__(
        self,
        network: Network,
        hyperparameters: Hyperparameters,
        x: NDArray[np.float32],
        targets: Targets,
        group: int = 1,
    ) -> None:
        self.template = network
        self.hyperparameters = hyperparameters
        self.group = group
        self.x = tf.constant(x, tf.float32)
        self.boxes = tf.constant(targets.boxes)
        self.offsets = tf.constant(targets.offsets)
        self.weights = tf.constant(targets.weights)
        self.dtype = tf.as_dtype(resolved(hyperparameters.precision).value)
        self.parameters = Parameters(network)
        self.trained = tf.Variable(np.stack([self.parameters.trained(network)] * group))
        self.averages = tf.Variable(np.stack([self.parameters.averages(network)] * group))
        self.optimizer = Adam(self.trained, hyperparameters.learning_rate, hyperparameters.amsgrad)
        signature = [tf.TensorSpec([group, None], tf.int32), tf.TensorSpec([group, 2], tf.int32)]
        if group > 1:
            signature.append(tf.TensorSpec([group, None], tf.float32))
        self._step = tf.function(self._train_step, signature, autograph=False)

    def fit(
        self,
        network: Network,
        rows: NDArray[np.integer],
        rng: np.random.Generator,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> tuple[Network, list[float]]:
        """Fit one member; see :meth:`fit_group`."""

        def on_epoch_of(_: int, done: int, loss: float) -> None:
            if on_epoch:
                on_epoch(done, loss)

        return self.fit_group({0: Start(network, rows, rng)}, on_epoch_of)[0]

    def fit_group(
        self,
        starts: Mapping[int, Start],
        on_epoch: Callable[[int, int, float], None] | None = None,
    ) -> dict[int, tuple[Network, list[float]]]:
        """Fit members together, none of them disturbed by the others.

        Args:
            starts: what each starts from, by its place from 0 to ``group`` − 1; bags may differ
                in size. The company does not matter to the last bit, the place may.
            on_epoch: called with a member's place, its epochs done, and the epoch's mean loss.

        Returns:
            By place, the fitted network and the mean training loss of every epoch; the loss is NaN
            from the epoch on in which training diverged, and fitting stops there.
        """
        if not set(starts) <= set(range(self.group)):
            raise ValueError(f"places {sorted(starts)} are not all in a group of {self.group}.")
        self._reset({place: start.network for place, start in starts.items()})
        courses = {place: Course(start, self.hyperparameters) for place, start in starts.items()}
        pending: list[tuple[tf.Tensor, dict[int, NDArray[np.int32]]]] = []
        while running := {place: c for place, c in courses.items() if c.running}:
            seeds = {place: (course.seed, course.steps) for place, course in running.items()}
            batches = {place: course.batch() for place, course in running.items()}
            pending.append((self._run(batches, seeds), batches))
            done = {place: course for place, course in running.items() if course.at_epoch_end()}
            if not done:
                continue
            # Losses are fetched once an epoch, so that a GPU is not waited for at every step.
            for losses, rows in pending:
                of_step = losses.numpy()
                for place, batch in rows.items():
                    courses[place].add(float(of_step[place]), len(batch))
            pending.clear()
            for place, course in done.items():
                loss = course.end_epoch()
                if on_epoch:
                    on_epoch(place, len(course.losses), loss)
        trained, averages = self.trained.numpy(), self.averages.numpy()
        return {
            place: (self.parameters.network(trained[place], averages[place]), course.losses)
            for place, course in courses.items()
        }

    def _run(
        self, batches: dict[int, NDArray[np.int32]], seeds: dict[int, tuple[int, int]]
    ) -> tf.Tensor:
        """One step of every member that has a batch; the losses by place."""
        if self.group == 1:
            return self._step(batches[0][None], np.array([seeds[0]], np.int32))
        # Of one shape in all company, since the order of sums follows from the shape.
        rows = np.zeros((self.group, self.hyperparameters.batch_size), np.int32)
        row_mask = np.zeros(rows.shape, np.float32)
        both = np.zeros((self.group, 2), np.int32)
        for place, batch in batches.items():
            rows[place, : len(batch)] = batch
            row_mask[place, : len(batch)] = 1
            both[place] = seeds[place]
        return self._step(rows, both, row_mask)

    def _reset(self, networks: dict[int, Network]) -> None:
        every = [networks.get(place, self.template) for place in range(self.group)]
        self.trained.assign(np.stack([self.parameters.trained(n) for n in every]))
        self.averages.assign(np.stack([self.parameters.averages(n) for n in every]))
        self.optimizer.reset()

    def _train_step(
        self, rows: tf.Tensor, seeds: tf.Tensor, row_mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """One step of every member that has rows; returns the losses, shape [members]."""
        with tf.GradientTape() as tape:
            arrays = self.parameters.split(self.trained)
            output, averages = self._forward(tf.gather(self.x, rows), arrays, seeds, row_mask)
            losses = self._losses(output, rows, row_mask) + self._regularisation(arrays)
        gradient = tape.gradient(losses, self.trained)
        active = None if row_mask is None else tf.reduce_max(row_mask, axis=1) > 0
        moved = (tf.concat(averages, axis=1) - self.averages) * (1 - BATCH_NORM_MOMENTUM)
        self.averages.assign_add(moved if active is None else tf.where(active[:, None], moved, 0.0))
        self.optimizer.apply(gradient, active)
        return losses

    def _forward(
        self,
        x: tf.Tensor,
        arrays: list[tf.Tensor],
        seeds: tf.Tensor,
        row_mask: tf.Tensor | None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Output in training mode, and the batch means and variances of every norm."""
        convs = self.template.convs
        dropout = Dropout(self.hyperparameters.dropout, len(convs), seeds)
        averages: list[tf.Tensor] = []
        pixels, y = len(self.template.grid), x
        for k, conv in enumerate(convs):
            kernel, gamma, beta = arrays[3 * k : 3 * k + 3]
            gamma, beta = gamma * dropout.scale, beta * dropout.scale
            pixels = conv.pixels(pixels)
            if k == 0:
                seen = pixels if len(convs) == 1 else min(pixels, reach(convs[1], pixels))
                y, batch = first_convolution(
                    x, kernel, gamma, beta, conv, row_mask, seen, self.dtype
                )
            else:
                kernel = tf.cast(block_kernel(kernel, conv), self.dtype)
                y = convolved(blocks(y, conv), kernel)
                y, batch = batch_norm(y, gamma, beta, row_mask)
                y = tf.cast(y, self.dtype)
            averages += batch
            y = dropped_relu(y, dropout.keep(k, tf.shape(y)))
        kernel, gamma, beta, head_kernel, head_bias = arrays[3 * len(convs) :]
        y = tf.cast(tf.reshape(y, [self.group, -1, kernel.shape[1]]), tf.float32)
        y, batch = batch_norm(tf.expand_dims(product(y, kernel), 2), gamma, beta, row_mask)
        averages += batch
        _, units, heads, _, boxes = head_kernel.shape
        y = tf.nn.relu(tf.squeeze(y, 2))
        y = product(y, tf.reshape(head_kernel, [self.group, units, -1]))
        y += tf.reshape(head_bias, [self.group, 1, -1])
        y = tf.reshape(y, [-1, heads, 2, boxes])
        return _activate(y, self.template.offset_activation), averages

    def _losses(self, output: tf.Tensor, rows: tf.Tensor, row_mask: tf.Tensor | None) -> tf.Tensor:
        """Mean loss of every member over the rows it has, shape [members]."""
        flat = tf.reshape(rows, [-1])
        loss = quasarnet_loss(output, tf.gather(self.boxes, flat), tf.gather(self.offsets, flat))
        loss = tf.reduce_sum(loss * tf.gather(self.weights, flat), axis=1)
        loss = tf.reshape(loss, tf.shape(rows))
        if row_mask is None:
            return tf.reduce_mean(loss, axis=1)
        total = tf.reduce_sum(loss * row_mask, axis=1)
        return total / tf.maximum(tf.reduce_sum(row_mask, axis=1), 1)

    def _regularisation(self, arrays: list[tf.Tensor]) -> tf.Tensor:
        """Penalty of every member, shape [members]."""
        dense = 3 * len(self.template.convs)
        total = tf.zeros([self.group])
        for strength, kernels in (
            (self.hyperparameters.reg_conv, arrays[:dense:3]),
            (self.hyperparameters.reg_dense, arrays[dense : dense + 1]),
        ):
            if strength:
                for kernel in kernels:
                    total += strength * tf.reduce_sum(
                        tf.square(kernel), axis=list(range(1, len(kernel.shape)))
                    )
        return total


def _activate(y: tf.Tensor, kind: OffsetActivation) -> tf.Tensor:
    """Activation of boxes (first of axis 2) and offsets (second)."""
    if kind is not OffsetActivation.linear:
        y = tf.sigmoid(y)
    if kind is OffsetActivation.sigmoid:
        return y
    factor, shift = RESCALE
    return y * [[1.0], [factor]] + [[0.0], [shift]]
