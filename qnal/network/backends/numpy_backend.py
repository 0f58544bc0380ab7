"""Forward passes with numpy, without TensorFlow and with few copies.

The windows of a convolution overlap, so they are not a matrix that BLAS accepts. But every fifth
window (for a width of 10 and a stride of 2) starts where the previous one ends. If the length of a
padded spectrum is a multiple of that step, these windows of all spectra are one matrix in place. A
convolution is then five matrix products, without copying each pixel into five windows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnal.network.network import RESCALE, Conv, Network, OffsetActivation

ROWS = 64  # spectra per pass, so that values between layers stay in the processor's cache


@dataclass(frozen=True)
class _Convolution:
    """A convolution of spectra that are contiguous in one buffer.

    Attributes:
        kernel: kernel, shape [width·channels, filters].
        bias: bias, shape [filters].
        channels: number of input channels.
        before: number of zeros before each spectrum.
        pixels: number of input pixels.
        out: number of output pixels.
        stride: distance of windows.
        step: distance of windows that do not overlap.
        steps: number of steps per padded spectrum, whose length is ``step·steps``.
    """

    kernel: NDArray
    bias: NDArray
    channels: int
    before: int
    pixels: int
    out: int
    stride: int
    step: int
    steps: int

    @classmethod
    def of(cls, conv: Conv, pixels: int, dtype: type[np.floating]) -> "_Convolution":
        width, channels, filters = conv.kernel.shape
        kernel, bias = (a.astype(dtype) for a in conv.folded())
        step = conv.stride * -(-width // conv.stride)
        (before, behind), out = conv.padded(pixels), conv.pixels(pixels)
        return cls(
            kernel.reshape(width * channels, filters),
            bias,
            channels,
            before,
            pixels,
            out,
            conv.stride,
            step,
            -(-max(before + pixels + behind, out * conv.stride) // step),
        )

    def buffer(self, rows: int) -> NDArray:
        """A buffer of zeros for this number of spectra and one more window."""
        pixels = self.step * (rows * self.steps + 1)
        return np.zeros((pixels, self.channels), self.kernel.dtype)

    def spectra(self, buffer: NDArray, rows: int) -> NDArray:
        """View of the buffer to write the spectra to, shape [rows, pixels, channels]."""
        length = self.step * self.steps
        padded = buffer[: rows * length].reshape(rows, length, self.channels)
        return padded[:, self.before : self.before + self.pixels]

    def products(self, buffer: NDArray, rows: int) -> NDArray:
        """Kernel times windows, shape [rows, out, filters], without the bias."""
        every = self.step // self.stride
        shape = (rows * self.steps, self.kernel.shape[0])
        strides = (self.step * self.channels * buffer.itemsize, buffer.itemsize)
        out = np.empty((rows * self.steps, every, self.kernel.shape[1]), buffer.dtype)
        for k in range(every):
            windows = np.lib.stride_tricks.as_strided(buffer[k * self.stride :], shape, strides)
            np.matmul(windows, self.kernel, out=out[:, k])
        return out.reshape(rows, self.steps * every, -1)[:, : self.out]


def numpy_forward(
    network: Network, dtype: type[np.floating] = np.float32
) -> Callable[[NDArray], NDArray]:
    """A network as a function of spectra; its output has the shape [rows, heads, 2, boxes]."""
    from scipy.special import expit

    convolutions, pixels = [], len(network.grid)
    for conv in network.convs:
        convolutions.append(_Convolution.of(conv, pixels, dtype))
        pixels = conv.pixels(pixels)
    dense_kernel, dense_bias = (a.astype(dtype) for a in network.folded_dense())
    units, *heads = network.head_kernel.shape
    head_kernel = network.head_kernel.astype(dtype).reshape(units, -1)
    head_bias = network.head_bias.astype(dtype).reshape(-1)

    def run(x: NDArray) -> NDArray:
        out = np.empty((len(x), len(head_bias)), dtype)
        buffers = [c.buffer(min(ROWS, len(x))) for c in convolutions]
        flat = np.empty((min(ROWS, len(x)), len(dense_kernel)), dtype)
        for first in range(0, len(x), ROWS):
            rows = len(x[first : first + ROWS])
            convolutions[0].spectra(buffers[0], rows)[:] = x[first : first + ROWS, :, None]
            for k, convolution in enumerate(convolutions):
                products = convolution.products(buffers[k], rows)
                if k + 1 < len(convolutions):
                    y = convolutions[k + 1].spectra(buffers[k + 1], rows)
                else:
                    y = flat[:rows].reshape(products.shape)
                np.add(products, convolution.bias, out=y)
                np.maximum(y, 0, out=y)
            common = np.maximum(flat[:rows] @ dense_kernel + dense_bias, 0)
            out[first : first + rows] = common @ head_kernel
        output = (out + head_bias).reshape(-1, *heads)
        if network.offset_activation is not OffsetActivation.linear:
            output = expit(output)
        if network.offset_activation is not OffsetActivation.sigmoid:
            output[:, :, 1] = output[:, :, 1] * dtype(RESCALE[0]) + dtype(RESCALE[1])
        return output

    return run
