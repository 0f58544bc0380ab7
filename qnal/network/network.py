"""A QuasarNET as arrays, and the definition of its output (Busca & Balland 2018)."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.grid import Grid

BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.99
RESCALE = (1.2, -0.1)  # offsets are −0.1 + 1.2·s
Array = NDArray[np.floating]


class OffsetActivation(StrEnum):
    """Activation of the offsets; with ``linear``, boxes are linear as well."""

    rescaled_sigmoid = "rescaled_sigmoid"
    sigmoid = "sigmoid"
    linear = "linear"


class Padding(StrEnum):
    """Padding of the convolutions; ``auto`` is ``same`` from 6 layers on, else ``valid``."""

    auto = "auto"
    same = "same"
    valid = "valid"


@dataclass(frozen=True)
class BatchNorm:
    """gamma·(x − mean)/√(variance + epsilon) + beta, each of shape [channels]."""

    gamma: Array
    beta: Array
    mean: Array
    variance: Array
    epsilon: float = BATCH_NORM_EPSILON

    def scale(self) -> Array:
        """The factor of x, in float64."""
        return self.gamma / np.sqrt(self.variance.astype(np.float64) + self.epsilon)


@dataclass(frozen=True)
class Conv:
    """A convolution [width, in, out] along wavelength, then batch norm and ReLU."""

    kernel: Array
    bias: Array
    norm: BatchNorm
    stride: int = 2
    padding: Padding = Padding.valid

    def folded(self) -> tuple[Array, Array]:
        """Kernel and bias with the batch norm folded in, in float64."""
        scale = self.norm.scale()
        return self.kernel * scale, (self.bias - self.norm.mean) * scale + self.norm.beta

    def padded(self, pixels: int) -> tuple[int, int]:
        """Number of zeros to add before and after an input of this length."""
        if self.padding is not Padding.same:
            return 0, 0
        out = -(-pixels // self.stride)
        total = max((out - 1) * self.stride + len(self.kernel) - pixels, 0)
        return total // 2, total - total // 2

    def pixels(self, pixels: int) -> int:
        """Length of the output for an input of this length."""
        return (pixels + sum(self.padded(pixels)) - len(self.kernel)) // self.stride + 1


@dataclass(frozen=True)
class Network:
    """A network: convolutions, a common dense layer, and a head of boxes and offsets per line.

    Attributes:
        convs: the convolutions, first to last.
        dense_kernel: kernel of the dense layer, shape [pixels·channels, units].
        dense_bias: bias of the dense layer, shape [units].
        dense_norm: batch norm of the dense layer.
        head_kernel: kernels of the heads, shape [units, heads, 2, boxes]; boxes come first and
            offsets second.
        head_bias: biases of the heads, shape [heads, 2, boxes].
        offset_activation: activation of the offsets.
        grid: wavelength grid of the spectra.
        lines: names of the lines, the first heads.
        bal_lines: names of the BAL lines, the other heads.
    """

    convs: tuple[Conv, ...]
    dense_kernel: Array
    dense_bias: Array
    dense_norm: BatchNorm
    head_kernel: Array
    head_bias: Array
    offset_activation: OffsetActivation
    grid: Grid
    lines: tuple[str, ...]
    bal_lines: tuple[str, ...]

    @property
    def boxes(self) -> int:
        """Number of boxes that a head divides the grid into."""
        return self.head_bias.shape[2]

    def is_finite(self) -> bool:
        """Whether all weights are finite.

        A finite loss does not imply it, since the ReLU of NaN may be 0.
        """
        layers = self.arrays().values()
        return all(np.isfinite(array).all() for layer in layers for array in layer.values())

    def folded_dense(self) -> tuple[Array, Array]:
        """Kernel and bias of the dense layer with its batch norm folded in, in float64."""
        scale = self.dense_norm.scale()
        norm = self.dense_norm
        return self.dense_kernel * scale, (self.dense_bias - norm.mean) * scale + norm.beta

    def norms(self) -> list[BatchNorm]:
        """The batch norms of the convolutions, then that of the dense layer."""
        return [*(conv.norm for conv in self.convs), self.dense_norm]

    def arrays(self) -> dict[str, dict[str, Array]]:
        """All weights, by QuasarNP's layer names and Keras's variable names."""
        arrays = {
            f"conv_{k}": {"kernel": conv.kernel, "bias": conv.bias}
            for k, conv in enumerate(self.convs, start=1)
        }
        arrays["fc_common"] = {"kernel": self.dense_kernel, "bias": self.dense_bias}
        for k, norm in enumerate(self.norms(), start=1):
            arrays[f"batch_normalization_{k}"] = {
                "gamma": norm.gamma,
                "beta": norm.beta,
                "moving_mean": norm.mean,
                "moving_variance": norm.variance,
            }
        for head in range(len(self.head_bias)):
            for part, name in enumerate(("box", "offset")):
                arrays[f"fc_{name}_{head}"] = {
                    "kernel": self.head_kernel[:, head, part],
                    "bias": self.head_bias[head, part],
                }
        return arrays

    def flat_size(self) -> int:
        """Number of inputs of the dense layer."""
        pixels = len(self.grid)
        for conv in self.convs:
            pixels = conv.pixels(pixels)
        return pixels * self.convs[-1].kernel.shape[2]


def apply_numpy(network: Network, x: Array, dtype: type[np.floating] = np.float64) -> Array:
    """Output of a network, computed with numpy: the definition for tests of all backends.

    Args:
        network: the network.
        x: renormalised spectra, shape [rows, npix].
        dtype: number format of the computation.

    Returns:
        Boxes and offsets, shape [rows, heads, 2, boxes].
    """
    from scipy.special import expit

    y = x.astype(dtype)[:, :, None]
    for conv in network.convs:
        kernel, bias = (a.astype(dtype) for a in conv.folded())
        y = np.pad(y, ((0, 0), conv.padded(y.shape[1]), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(y, len(kernel), axis=1)
        windows = windows[:, :: conv.stride].swapaxes(2, 3)  # [rows, out, width, in]
        flat = windows.reshape(*windows.shape[:2], -1) @ kernel.reshape(-1, kernel.shape[2])
        y = np.maximum(flat + bias, 0)
    kernel, bias = (a.astype(dtype) for a in network.folded_dense())
    y = np.maximum(y.reshape(len(y), -1) @ kernel + bias, 0)
    units, heads, _, boxes = network.head_kernel.shape
    head = y @ network.head_kernel.astype(dtype).reshape(units, -1)
    out = head.reshape(-1, heads, 2, boxes) + network.head_bias.astype(dtype)
    if network.offset_activation is not OffsetActivation.linear:
        out = expit(out)
    if network.offset_activation is not OffsetActivation.sigmoid:
        out[:, :, 1] = out[:, :, 1] * dtype(RESCALE[0]) + dtype(RESCALE[1])
    return out
