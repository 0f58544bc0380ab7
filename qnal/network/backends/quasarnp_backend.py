"""Forward passes by the QuasarNP package itself, where it is installed: a cross-check.

The package is handed the network as it was read, not the file, so that the rescaling of offsets
that its own reader overlooks (FORMATS.md section 6) is done.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError
from qnal.network.network import BATCH_NORM_EPSILON, Network, OffsetActivation, Padding

MOST_LAYERS = 9  # QuasarNP finds a convolution's batch norm by the last digit of its name


def quasarnp_forward(
    network: Network, dtype: type[np.floating] = np.float32
) -> Callable[[NDArray], NDArray]:
    """The network as a QuasarNP model; answers are of shape [rows, heads, 2, boxes].

    Raises:
        ConfigError: the package is not installed, or cannot run such a network.
    """
    try:
        from quasarnp.model import QuasarNP
    except ImportError as error:
        raise ConfigError(
            "infer.backend=quasarnp needs the QuasarNP package, which the extra qnal[quasarnp] "
            "installs; infer.backend=tensorflow and numpy do without."
        ) from error
    if (
        network.offset_activation is OffsetActivation.linear
        or len(network.convs) > MOST_LAYERS
        or any(norm.epsilon != BATCH_NORM_EPSILON for norm in network.norms())
        or not _padded_alike(network)
    ):
        raise ConfigError(
            "infer.backend=quasarnp runs networks with sigmoid offsets, batch norms of epsilon "
            f"{BATCH_NORM_EPSILON}, at most {MOST_LAYERS} convolutions and, where they are padded, "
            "kernels of even width; this one is not."
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
        said = model.predict(np.asarray(x, dtype)[:, :, None])
        return np.stack([head.reshape(-1, 2, boxes) for head in said], axis=1).astype(dtype)

    return run


def _padded_alike(network: Network) -> bool:
    """Whether QuasarNP, which pads by the width alone, puts as many zeros before the pixels."""
    pixels = len(network.grid)
    for conv in network.convs:
        before, _ = conv.padded(pixels)
        if conv.padding is Padding.same and before != (len(conv.kernel) - 1) // 2:
            return False
        pixels = conv.pixels(pixels)
    return True
