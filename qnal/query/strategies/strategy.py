"""The contract of a query strategy."""

from abc import ABC, abstractmethod


class Strategy(ABC):
    """A measure of how much is gained from inspecting a spectrum: its utility.

    A query selects the targets with the highest utility. The utility is at least 0, and 0 means
    that nothing is gained; such spectra are never selected.

    Attributes:
        name: name of the strategy, used in messages.
        columns: columns of the scores that the utility is computed from. The utility of a spectrum
            is null where one of them is null or NaN.
        highest: upper limit of the utility.
        label: axis label for figures.
    """

    name: str
    columns: tuple[str, ...]
    highest: float
    label: str

    @abstractmethod
    def utility(self) -> str:
        """SQL expression of the utility over ``columns``, which are of type DOUBLE or VARCHAR."""

    def reason(self) -> str | None:
        """SQL expression of why a spectrum is selected, in words, over the columns of the scores.

        It becomes the column REASON of the selection. None: there is no such column.
        """
        return None
