"""Forward passes by the QuasarNP package itself, where it is installed: a cross-check.

The package is handed the network as it was read, not the file, so that the rescaling of offsets
that its own reader overlooks (FORMATS.md section 6) is done.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError
from qnal.network.network import BATCH_NORM_EPSILON, Network, OffsetActivation

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
    ):
        raise ConfigError(
            "infer.backend=quasarnp runs networks with sigmoid offsets, batch norms of epsilon "
            f"{BATCH_NORM_EPSILON} and at most {MOST_LAYERS} convolutions; this one is not."
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
