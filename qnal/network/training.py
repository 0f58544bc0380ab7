"""Fit of QuasarNETs: the training step, and the loop over epochs.

The step is a ``tf.function`` instead of ``keras.Model.fit``: it fits one or several members at
once, with one matrix product for all heads and one vector of all weights. Loss, optimizer, dropout
rate and batch norm are those of the QuasarNET active-learning scripts.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from qnal.network.dropout import Dropout, dropped_relu
from qnal.network.fit_state import FitState, InitialState
from qnal.network.hyperparameters import Hyperparameters
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
    """Fits networks of one structure with one compiled training step.

    Args:
        network: any network of the structure; its weights do not matter.
        hyperparameters: how to fit.
        x: all spectra, shape [rows, npix]; they are in memory once, whatever samples are drawn.
        targets: targets of the spectra.
        group: number of networks that are fitted together at most. With 1, the operations are the
            fastest ones on a processor; larger groups use a GPU better.
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
        self.optimizer = Adam(self.trained, hyperparameters.amsgrad)
        signature = [
            tf.TensorSpec([group, None], tf.int32),
            tf.TensorSpec([group, 2], tf.int32),
            tf.TensorSpec([group], tf.float32),
        ]
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
        """Fit one network; see :meth:`fit_group`.

        Args:
            network: the initial weights.
            rows: indices into the spectra, repeated as the bootstrap drew them.
            rng: shuffles the batches and draws the dropout masks.
            on_epoch: called with the number of epochs done and the mean loss of the latest one.

        Returns:
            The fitted network and the mean training loss of each epoch.
        """

        def on_epoch_of(_: int, done: int, loss: float) -> None:
            if on_epoch:
                on_epoch(done, loss)

        return self.fit_group({0: InitialState(network, rows, rng)}, on_epoch_of)[0]

    def fit_group(
        self,
        initial: Mapping[int, InitialState],
        on_epoch: Callable[[int, int, float], None] | None = None,
    ) -> dict[int, tuple[Network, list[float]]]:
        """Fit networks together and independently of each other.

        Args:
            initial: initial states by slot, from 0 to ``group`` − 1; samples may differ in size.
                The result does not depend on which other slots are used; its last bits may depend
                on the slot.
            on_epoch: called with the slot, the number of epochs done and the mean loss of the
                latest one.

        Returns:
            Per slot, the fitted network and the mean training loss of each epoch. A fit ends with
            the first epoch whose loss is not finite.

        Raises:
            ValueError: a slot is outside the group.
        """
        if not set(initial) <= set(range(self.group)):
            raise ValueError(f"slots {sorted(initial)} are not all in a group of {self.group}.")
        self._reset({slot: state.network for slot, state in initial.items()})
        fits = {slot: FitState(state, self.hyperparameters) for slot, state in initial.items()}
        pending: list[tuple[tf.Tensor, dict[int, NDArray[np.int32]]]] = []
        while running := {slot: fit for slot, fit in fits.items() if fit.running}:
            seeds = {slot: (fit.seed, fit.steps) for slot, fit in running.items()}
            rates = {slot: fit.learning_rate for slot, fit in running.items()}
            batches = {slot: fit.batch() for slot, fit in running.items()}
            pending.append((self._run(batches, seeds, rates), batches))
            done = {slot: fit for slot, fit in running.items() if fit.at_epoch_end()}
            if not done:
                continue
            # Losses are fetched once per epoch, to not wait for a GPU after each step.
            for losses, rows in pending:
                step_losses = losses.numpy()
                for slot, batch in rows.items():
                    fits[slot].add(float(step_losses[slot]), len(batch))
            pending.clear()
            for slot, fit in done.items():
                loss = fit.end_epoch()
                if on_epoch:
                    on_epoch(slot, len(fit.losses), loss)
        trained, averages = self.trained.numpy(), self.averages.numpy()
        return {
            slot: (self.parameters.network(trained[slot], averages[slot]), fit.losses)
            for slot, fit in fits.items()
        }

    def _run(
        self,
        batches: dict[int, NDArray[np.int32]],
        seeds: dict[int, tuple[int, int]],
        rates: dict[int, float],
    ) -> tf.Tensor:
        """One step of each slot that has a batch; returns the losses by slot."""
        if self.group == 1:
            return self._step(
                batches[0][None], np.array([seeds[0]], np.int32), np.array([rates[0]], np.float32)
            )
        # The shape is the same whichever slots are used, since it decides the order of summation.
        rows = np.zeros((self.group, self.hyperparameters.batch_size), np.int32)
        row_mask = np.zeros(rows.shape, np.float32)
        seed_pairs = np.zeros((self.group, 2), np.int32)
        learning_rates = np.zeros(self.group, np.float32)
        for slot, batch in batches.items():
            rows[slot, : len(batch)] = batch
            row_mask[slot, : len(batch)] = 1
            seed_pairs[slot] = seeds[slot]
            learning_rates[slot] = rates[slot]
        return self._step(rows, seed_pairs, learning_rates, row_mask)

    def _reset(self, networks: dict[int, Network]) -> None:
        every = [networks.get(slot, self.template) for slot in range(self.group)]
        self.trained.assign(np.stack([self.parameters.trained(n) for n in every]))
        self.averages.assign(np.stack([self.parameters.averages(n) for n in every]))
        self.optimizer.reset()

    def _train_step(
        self,
        rows: tf.Tensor,
        seeds: tf.Tensor,
        learning_rates: tf.Tensor,
        row_mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """One step of each member that has rows; returns the losses, shape [members]."""
        with tf.GradientTape() as tape:
            arrays = self.parameters.split(self.trained)
            output, averages = self._forward(tf.gather(self.x, rows), arrays, seeds, row_mask)
            losses = self._losses(output, rows, row_mask) + self._regularisation(arrays)
        gradient = tape.gradient(losses, self.trained)
        active = None if row_mask is None else tf.reduce_max(row_mask, axis=1) > 0
        moved = (tf.concat(averages, axis=1) - self.averages) * (1 - BATCH_NORM_MOMENTUM)
        self.averages.assign_add(moved if active is None else tf.where(active[:, None], moved, 0.0))
        self.optimizer.apply(gradient, learning_rates, active)
        return losses

    def _forward(
        self,
        x: tf.Tensor,
        arrays: list[tf.Tensor],
        seeds: tf.Tensor,
        row_mask: tf.Tensor | None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Output in training mode, and the batch's mean and variance for each batch norm."""
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
        """Mean loss of each member over its rows, shape [members]."""
        flat = tf.reshape(rows, [-1])
        loss = quasarnet_loss(output, tf.gather(self.boxes, flat), tf.gather(self.offsets, flat))
        loss = tf.reduce_sum(loss * tf.gather(self.weights, flat), axis=1)
        loss = tf.reshape(loss, tf.shape(rows))
        if row_mask is None:
            return tf.reduce_mean(loss, axis=1)
        total = tf.reduce_sum(loss * row_mask, axis=1)
        return total / tf.maximum(tf.reduce_sum(row_mask, axis=1), 1)

    def _regularisation(self, arrays: list[tf.Tensor]) -> tf.Tensor:
        """L2 penalty of each member, shape [members]."""
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
    """Apply the activations of boxes (index 0 of axis 2) and offsets (index 1)."""
    if kind is not OffsetActivation.linear:
        y = tf.sigmoid(y)
    if kind is OffsetActivation.sigmoid:
        return y
    factor, shift = RESCALE
    return y * [[1.0], [factor]] + [[0.0], [shift]]
