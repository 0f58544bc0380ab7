"""Forward passes with the QuasarNP package, if it is installed, as a cross-check.

The package gets the network as qnal read it, not the file, because its own reader overlooks the
rescaling of offsets in some files (docs/formats.md).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError
from qnal.network.network import BATCH_NORM_EPSILON, Network, OffsetActivation, Padding

MOST_LAYERS = 9  # QuasarNP identifies the batch norm of a convolution by one digit


def quasarnp_forward(
    network: Network, dtype: type[np.floating] = np.float32
) -> Callable[[NDArray], NDArray]:
    """A network as a function of spectra; its output has the shape [rows, heads, 2, boxes].

    Raises:
        ConfigError: QuasarNP is not installed, or cannot run the network.
    """
    try:
        from quasarnp.model import QuasarNP
    except ImportError as error:
        raise ConfigError(
            "backend=quasarnp needs the QuasarNP package; install qnal[quasarnp], or use "
            "backend=tensorflow or numpy."
        ) from error
    if (
        network.offset_activation is OffsetActivation.linear
        or len(network.convs) > MOST_LAYERS
        or any(norm.epsilon != BATCH_NORM_EPSILON for norm in network.norms())
        or not _padded_alike(network)
    ):
        raise ConfigError(
            "backend=quasarnp cannot run this network; QuasarNP runs networks with sigmoid "
            f"offsets, batch norms of epsilon {BATCH_NORM_EPSILON}, at most {MOST_LAYERS} "
            "convolutions and, with padding, kernels of even width."
        )
    heads, _, boxes = network.head_bias.shape
    layout = {
        f"conv_{k}": {"padding": conv.padding.value, "strides": [conv.stride]}
        for k, conv in enumerate(network.convs, start=1)
    }
    weights = {
        layer: {name: array.astype(dtype) for name, array in arrays.items()}
        for layer, arrays in network.arrays().items()
    }
    model = QuasarNP(
        weights,
        nlines=heads,
        rescale=network.offset_activation is OffsetActivation.rescaled_sigmoid,
        nlayers=len(network.convs),
        config_dict=layout,
    )

    def run(x: NDArray) -> NDArray:
        heads = model.predict(np.asarray(x, dtype)[:, :, None])
        return np.stack([head.reshape(-1, 2, boxes) for head in heads], axis=1).astype(dtype)

    return run


def _padded_alike(network: Network) -> bool:
    """Whether QuasarNP, whose padding depends on the width only, pads like TensorFlow."""
    pixels = len(network.grid)
    for conv in network.convs:
        before, _ = conv.padded(pixels)
        if conv.padding is Padding.same and before != (len(conv.kernel) - 1) // 2:
            return False
        pixels = conv.pixels(pixels)
    return True
