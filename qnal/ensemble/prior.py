"""Physical prior: spectra of the built-in mock survey, with their labels, as further training data.

A sample of a member then has its bootstrap sample of the labelled spectra and, drawn anew for each
epoch, ``weight`` spectra of the prior, so that the prior's share falls as labels grow. The prior's
spectra are in no labelled set: they are never counted in a metric and never selected.
"""

from dataclasses import dataclass
from enum import StrEnum

from qnal.fingerprint import fingerprint
from qnal.spectra.grid import Grid

# Bump this number when the same settings give other spectra, as MOCK_VERSION of the mock survey.
VERSION = 3


class PriorKind(StrEnum):
    """How the spectra of the mock survey are used in training.

    ``mix`` adds them to each epoch; ``pretrain`` trains a network on them first, and continues with
    the labelled spectra alone.
    """

    none = "none"
    mix = "mix"
    pretrain = "pretrain"


@dataclass(frozen=True)
class Prior:
    """The prior of an ensemble.

    Attributes:
        kind: how it is used.
        spectra: number of mock spectra.
        weight: with ``mix``, number of them that each epoch of a member has; the prior counts like
            as many labelled spectra.
    """

    kind: PriorKind = PriorKind.none
    spectra: int = 20_000
    weight: int = 2000

    def identity(self) -> dict[str, object] | None:
        """What the fingerprint of an ensemble depends on; None without spectra to mix in.

        Pre-training is not part of it, since its result is the ensemble that training starts from.
        """
        if self.kind is not PriorKind.mix:
            return None
        return {"spectra": self.spectra, "weight": self.weight, "version": VERSION}

    def settings(self) -> dict[str, object]:
        """The prior by its configuration keys, as ``ensemble.json`` records it; none without."""
        if self.kind is PriorKind.none:
            return {}
        settings: dict[str, object] = {"prior": self.kind, "prior_spectra": self.spectra}
        return settings | ({"prior_weight": self.weight} if self.kind is PriorKind.mix else {})

    def fingerprint(self, grid: Grid) -> str:
        """Identity of the prior's spectra on a wavelength grid."""
        return fingerprint({"prior": VERSION, "spectra": self.spectra, "grid": grid.name})

    def alone(self) -> "Prior":
        """The prior of an ensemble without labels: each epoch has all mock spectra."""
        return Prior(PriorKind.mix, self.spectra, self.spectra)

    @property
    def rows_per_epoch(self) -> int:
        """Number of mock spectra in each epoch of a member."""
        return min(self.weight, self.spectra) if self.kind is PriorKind.mix else 0
