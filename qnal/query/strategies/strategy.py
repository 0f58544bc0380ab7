"""The contract of a query strategy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from qnal.query.candidates import Candidates

# A column that strategies may use besides those of the scores: a number from 0 (exclusive) to 1
# per target, drawn with the seed of the query. It does not depend on the order of the scores.
RANDOM = "RANDOM"


class Strategy(ABC):
    """A measure of how much is gained from inspecting a spectrum: its utility.

    A query selects the targets with the highest utility. The utility is at least 0, and 0 means
    that nothing is gained; such spectra are never selected.

    Attributes:
        name: name of the strategy, used in messages.
        columns: columns of the scores that the utility is computed from. The utility of a spectrum
            is null where one of them is null or NaN.
        needs: further columns that must be known, such as BMU.
        highest: upper limit of the utility.
        label: axis label for figures.
    """

    name: str
    columns: tuple[str, ...]
    needs: tuple[str, ...] = ()
    highest: float
    label: str

    @abstractmethod
    def utility(self) -> str:
        """SQL expression of the utility over ``columns``, which are of type DOUBLE or VARCHAR."""

    def reason(self) -> str | None:
        """SQL expression of why a spectrum is selected, in words, over the columns of the scores.

        It becomes the beginning of the column REASON of the selection.
        """
        return None

    def computed(self) -> list[NumpyStrategy]:
        """The strategies that this one uses, itself included, that compute with numpy."""
        measure = getattr(self, "measure", None)
        return measure.computed() if isinstance(measure, Strategy) else []


class NumpyStrategy(Strategy):
    """A strategy whose utility is computed with numpy. All of its columns are numbers."""

    @abstractmethod
    def utility_of(self, scores: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The utility of some spectra, shape [rows].

        Args:
            scores: each of ``columns``, shape [rows]; NaN where it is unknown. How the spectra are
                divided among calls is not defined.
        """

    @property
    def function(self) -> str:
        """Name of :meth:`utility_of` in SQL."""
        return f"utility_of_{id(self)}"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return f"{self.function}({', '.join(self.columns)})"

    def computed(self) -> list[NumpyStrategy]:
        """See :meth:`Strategy.computed`."""
        return [self]


class BatchStrategy(Strategy):
    """A strategy that chooses targets together, so that they differ from each other."""

    @abstractmethod
    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """The TARGETIDs of at most ``n`` candidates, in the order of the selection.

        Args:
            candidates: one spectrum per target, each with a utility above 0.
            n: number of targets to select.
            rng: source of random numbers, seeded by the query.
        """
