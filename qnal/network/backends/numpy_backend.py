"""Forward passes in numpy: no TensorFlow needed, nothing copied that need not be.

The windows of a convolution overlap, so they are no matrix that BLAS takes; but every fifth one
(for a width of 10 and a stride of 2) lies behind the other without overlap, and where the length
of a padded spectrum is a multiple of that step, those of all spectra are one matrix in place. A
convolution is then five products, without the tenfold copy that gathering windows costs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnal.network.network import RESCALE, Conv, Network, OffsetActivation, sigmoid

ROWS = 64  # taken at once, so that what is between the layers stays in the processor's cache


@dataclass(frozen=True)
class _Convolution:
    """A convolution on spectra that lie behind one another in one buffer.

    Attributes:
        kernel: [width·in, out]; ``bias`` [out]; ``channels`` in.
        before: zeros in front of a spectrum; ``pixels`` its own.
        out: pixels of the answer.
        stride: between windows; ``step`` between those that do not overlap.
        steps: of a padded spectrum, whose length is ``step·steps``.
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
        """Room for that many spectra and a window more; zero where nothing is written."""
        pixels = self.step * (rows * self.steps + 1)
        return np.zeros((pixels, self.channels), self.kernel.dtype)

    def place(self, buffer: NDArray, rows: int) -> NDArray:
        """Where the spectra belong in the buffer, shape [rows, pixels, channels]."""
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
    """The network as a function; answers are of shape [rows, heads, 2, boxes]."""
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
            convolutions[0].place(buffers[0], rows)[:] = x[first : first + ROWS, :, None]
            for k, convolution in enumerate(convolutions):
                products = convolution.products(buffers[k], rows)
                if k + 1 < len(convolutions):
                    y = convolutions[k + 1].place(buffers[k + 1], rows)
                else:
                    y = flat[:rows].reshape(products.shape)
                np.add(products, convolution.bias, out=y)
                np.maximum(y, 0, out=y)
            common = np.maximum(flat[:rows] @ dense_kernel + dense_bias, 0)
            out[first : first + rows] = common @ head_kernel
        answer = (out + head_bias).reshape(-1, *heads)
        if network.offset_activation is not OffsetActivation.linear:
            answer = sigmoid(answer)
        if network.offset_activation is not OffsetActivation.sigmoid:
            answer[:, :, 1] = answer[:, :, 1] * dtype(RESCALE[0]) + dtype(RESCALE[1])
        return answer

    return run
