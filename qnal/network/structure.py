"""Structure of a new network, and its initial weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError
from qnal.network.network import BatchNorm, Conv, Network, OffsetActivation, Padding
from qnal.spectra.grid import Grid


@dataclass(frozen=True)
class Structure:
    """Structure of a new network; the defaults are QuasarNET's.

    Attributes:
        grid: wavelength grid of the spectra.
        lines: names of the lines, one head per line.
        bal_lines: names of the BAL lines, one further head per line.
        layers, filters, width, stride: number of convolutions, and the filters, width in pixels
            and stride of each.
        units: size of the common dense layer.
        boxes: number of boxes that a head divides the grid into.
        padding: padding of the convolutions.
        offset_activation: activation of the offsets.
    """

    grid: Grid
    lines: tuple[str, ...]
    bal_lines: tuple[str, ...]
    layers: int = 4
    filters: int = 100
    width: int = 10
    stride: int = 2
    units: int = 100
    boxes: int = 13
    padding: Padding = Padding.auto
    offset_activation: OffsetActivation = OffsetActivation.rescaled_sigmoid

    @property
    def resolved_padding(self) -> Padding:
        """The padding that ``auto`` stands for: ``same`` from 6 layers on, else ``valid``."""
        if self.padding is not Padding.auto:
            return self.padding
        return Padding.same if self.layers >= 6 else Padding.valid

    def initial(self, rng: np.random.Generator) -> Network:
        """A network with Glorot-uniform kernels drawn from ``rng``.

        Raises:
            ConfigError: the convolutions leave no pixels.
        """
        padding = self.resolved_padding
        convs: list[Conv] = []
        pixels, channels = len(self.grid), 1
        for _ in range(self.layers):
            shape = (self.width, channels, self.filters)
            fan_in, fan_out = self.width * channels, self.width * self.filters
            kernel = _glorot(rng, shape, fan_in, fan_out)
            conv = Conv(kernel, _zeros(self.filters), _norm(self.filters), self.stride, padding)
            pixels, channels = conv.pixels(pixels), self.filters
            if pixels < 1:
                raise ConfigError(
                    f"layers={self.layers} leaves no pixels with padding={padding}; use "
                    "padding=same or fewer layers."
                )
            convs.append(conv)
        flat, heads = pixels * channels, len(self.lines) + len(self.bal_lines)
        return Network(
            tuple(convs),
            _glorot(rng, (flat, self.units), flat, self.units),
            _zeros(self.units),
            _norm(self.units),
            _glorot(rng, (self.units, heads, 2, self.boxes), self.units, self.boxes),
            _zeros(heads, 2, self.boxes),
            self.offset_activation,
            self.grid,
            self.lines,
            self.bal_lines,
        )


def _zeros(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def _norm(channels: int) -> BatchNorm:
    one = np.ones(channels, np.float32)
    return BatchNorm(one, 0 * one, 0 * one, one)


def _glorot(
    rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
) -> NDArray[np.float32]:
    limit = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape).astype(np.float32)
