"""All weights of a network in one vector, as the optimizer takes them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qnal.network.network import BatchNorm, Network
from qnal.tf import tf


class Parameters:
    """Layout of the weights of networks of one structure in a vector.

    Trained weights are kernel, gamma and beta of each convolution and of the dense layer, then
    kernel and bias of the heads. A bias before a batch norm has no effect, so it stays 0. The
    moving averages are mean and variance of each batch norm.

    Args:
        template: any network of the structure; its weights do not matter.
    """

    def __init__(self, template: Network) -> None:
        self.template = template
        self.shapes = [array.shape for array in _trained(template)]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]

    def trained(self, network: Network) -> NDArray[np.float32]:
        """The trained weights, shape [weights]."""
        return _vector(_trained(network))

    def averages(self, network: Network) -> NDArray[np.float32]:
        """The moving averages, shape [averages]."""
        return _vector([a for norm in network.norms() for a in (norm.mean, norm.variance)])

    def split(self, vectors: tf.Tensor) -> list[tf.Tensor]:
        """Split trained weights [members, weights] into one array [members, …] per variable."""
        parts = tf.split(vectors, self.sizes, axis=1)
        return [tf.reshape(p, [-1, *s]) for p, s in zip(parts, self.shapes, strict=True)]

    def network(self, trained: NDArray[np.float32], averages: NDArray[np.float32]) -> Network:
        """The network with these trained weights and moving averages."""
        parts = np.split(trained, np.cumsum(self.sizes)[:-1])
        arrays = [p.reshape(s) for p, s in zip(parts, self.shapes, strict=True)]
        template = self.template
        norms, start = [], 0
        for k, norm in enumerate(template.norms()):
            size = len(norm.mean)
            mean, variance = averages[start : start + 2 * size].reshape(2, size)
            norms.append(BatchNorm(arrays[3 * k + 1], arrays[3 * k + 2], mean, variance))
            start += 2 * size
        convs = tuple(
            replace(conv, kernel=arrays[3 * k], bias=conv.bias * 0, norm=norms[k])
            for k, conv in enumerate(template.convs)
        )
        return replace(
            template,
            convs=convs,
            dense_kernel=arrays[3 * len(convs)],
            dense_bias=template.dense_bias * 0,
            dense_norm=norms[-1],
            head_kernel=arrays[-2],
            head_bias=arrays[-1],
        )


def _trained(network: Network) -> list[NDArray]:
    arrays = [a for c in network.convs for a in (c.kernel, c.norm.gamma, c.norm.beta)]
    norm = network.dense_norm
    arrays += [network.dense_kernel, norm.gamma, norm.beta]
    return [*arrays, network.head_kernel, network.head_bias]


def _vector(arrays: list[NDArray]) -> NDArray[np.float32]:
    return np.concatenate([np.asarray(a, np.float32).ravel() for a in arrays])
