"""What an inspector would have said: the labels that a simulated inspection reveals."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.labels.label import Label, is_quasar


class OracleKind(StrEnum):
    """An inspector who is always right, or one who errs more the fainter the spectrum is."""

    perfect = "perfect"
    noisy = "noisy"


@dataclass(frozen=True)
class Oracle:
    """Rates of a simulated inspector, which fall with the signal-to-noise of a spectrum.

    A spectrum of signal-to-noise s cannot be classified with probability
    ``cannot_tell · exp(−s / scale)``, and is given a wrong class with probability
    ``mistake · exp(−s / scale)``.

    Attributes:
        cannot_tell, mistake: the two probabilities at signal-to-noise 0; their sum is at most 1.
        scale: signal-to-noise per pixel over which both fall by a factor of e.
    """

    cannot_tell: float = 0.0
    mistake: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, kind: OracleKind) -> "Oracle":
        """The inspector of a kind."""
        return cls() if kind is OracleKind.perfect else cls(0.5, 0.1, 1.0)

    def rates(self, snr: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probabilities of "cannot tell" and of a mistake, each of the shape of ``snr``.

        An unknown signal-to-noise (NaN) counts as 0.
        """
        fainter = np.exp(-np.maximum(np.nan_to_num(snr.astype(np.float64)), 0) / self.scale)
        return self.cannot_tell * fainter, self.mistake * fainter

    def answers(self, table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """The table with LABEL, Z and BAL as an inspector gives them.

        All spectra of a target get the same answer, by the best of its spectra. What is said about
        a target does not depend on when, or by which strategy, it was picked. "Cannot tell" is the
        label BAD. A wrong class is one of the two others, both equally likely; the redshift of a
        wrong quasar is that of a random quasar of the table, and BALs are unknown for a mistake.

        Args:
            table: TARGETID, SNR, LABEL, Z and BAL of each spectrum.
            rng: source of randomness.
        """
        targetid = table["TARGETID"].to_numpy()
        _, first, target = np.unique(targetid, return_index=True, return_inverse=True)
        best = np.zeros(len(first))
        np.maximum.at(best, target, np.nan_to_num(table["SNR"].to_numpy().astype(np.float64)))
        cannot_tell, mistake = self.rates(best)
        drawn = rng.uniform(size=len(first))
        wrong_class = rng.integers(2, size=len(first))
        label = table["LABEL"].to_numpy()
        redshifts = table["Z"].to_numpy()[is_quasar(label)]
        z_drawn = rng.choice(redshifts, len(first)) if len(redshifts) else np.zeros(len(first))
        unsure = (drawn < cannot_tell)[target]
        wrong = ((drawn >= cannot_tell) & (drawn < cannot_tell + mistake))[target]
        wrong &= label != Label.BAD  # nobody can be wrong about what nobody can classify
        said = np.where(wrong, _another_class(label, wrong_class[target]), label)
        said = np.where(unsure, Label.BAD, said).astype(label.dtype)
        z = np.where(wrong, np.where(is_quasar(said), z_drawn[target], 0.0), table["Z"])
        bal = np.where(wrong | unsure, 0, table["BAL"]).astype(table["BAL"].to_numpy().dtype)
        return table.assign(LABEL=said, Z=z.astype(table["Z"].to_numpy().dtype), BAL=bal)


def _another_class(label: NDArray[np.integer], choice: NDArray[np.integer]) -> NDArray[np.integer]:
    """One of the two classes out of STAR, GALAXY and quasar that a label is not."""
    others = {
        Label.STAR: (Label.GALAXY, Label.QSO_LZ),
        Label.GALAXY: (Label.STAR, Label.QSO_LZ),
        Label.QSO_LZ: (Label.STAR, Label.GALAXY),
        Label.QSO_HZ: (Label.STAR, Label.GALAXY),
    }
    said = label.copy()
    for kind, pair in others.items():
        said = np.where(label == kind, np.array(pair)[choice], said)
    return said
