"""Where the ensemble and Redrock disagree, as SQL over the columns of the scores.

Each kind of disagreement has a condition, a weight and words. The kinds, and the ways in which
Redrock is known to be wrong about quasars, are described in docs/redrock.md.
"""

from dataclasses import dataclass
from enum import StrEnum

COLUMNS = ("P_NOT", "Z", "Z_RR", "ZWARN_RR", "SPECTYPE_RR", "DELTACHI2_RR")

DESI_WIDTH = 0.163  # of DESI's prior, in units of 1+z
SMALL_DELTA_CHI2 = 25.0
TEMPLATE_END = (1.55, 1.72)  # Redrock's galaxy templates end at z = 1.7
# Å; the overlaps of cameras B and R, and R and Z, and 60 Å on either side
JOINS = ((5700.0, 5860.0), (7460.0, 7680.0))
LYA = 1215.67

QN_QUASAR, RR_QUASAR = "P_NOT < 0.5", "SPECTYPE_RR = 'QSO'"


class Kind(StrEnum):
    """What is at odds."""

    spectype = "spectype"  # one of them says quasar, and the other does not
    redshift = "redshift"  # both say quasar, at different redshifts
    warning = "warning"  # a quasar with ZWARN
    delta_chi2 = "delta_chi2"  # a quasar whose next best fit is about as good
    template_end = "template_end"  # a quasar at the end of the galaxy templates
    camera_join = "camera_join"  # a quasar of Redrock with Lyman α where two cameras join


# The share of the utility that each kind gives to a spectrum of which the ensemble is certain.
WEIGHTS = {
    Kind.spectype: 0.6,
    Kind.redshift: 0.6,
    Kind.warning: 0.2,
    Kind.delta_chi2: 0.2,
    Kind.template_end: 0.3,
    Kind.camera_join: 0.3,
}


@dataclass(frozen=True)
class Disagreement:
    """SQL expressions of disagreement with Redrock over :data:`COLUMNS`.

    Attributes:
        width: difference in redshift, in units of 1+z, of which half counts as a disagreement; the
            default is the width of DESI's prior.
        delta_chi2: Δχ² below which Redrock is not sure.
    """

    width: float = DESI_WIDTH
    delta_chi2: float = SMALL_DELTA_CHI2

    def condition(self, kind: Kind) -> str:
        """Whether a spectrum has this kind of disagreement; null counts as false."""
        quasar = f"({QN_QUASAR} OR {RR_QUASAR})"
        low, high = TEMPLATE_END
        joins = " OR ".join(f"{LYA} * (1 + Z_RR) BETWEEN {a} AND {b}" for a, b in JOINS)
        found = {
            Kind.spectype: f"({QN_QUASAR}) <> ({RR_QUASAR})",
            Kind.redshift: f"{QN_QUASAR} AND {RR_QUASAR} "
            f"AND abs(Z_RR - Z) > {self.width / 2!r} * (1 + Z)",
            Kind.warning: f"{quasar} AND ZWARN_RR <> 0",
            Kind.delta_chi2: f"{quasar} AND DELTACHI2_RR < {self.delta_chi2!r}",
            Kind.template_end: f"{QN_QUASAR} AND SPECTYPE_RR = 'GALAXY' "
            f"AND Z_RR BETWEEN {low} AND {high}",
            Kind.camera_join: f"{RR_QUASAR} AND ({joins})",
        }
        return f"coalesce({found[kind]}, false)"

    def any_of(self, kinds: tuple[Kind, ...]) -> str:
        """Whether a spectrum has at least one of these kinds of disagreement."""
        return "(" + " OR ".join(self.condition(kind) for kind in kinds) + ")"

    def utility(self) -> str:
        """Certainty of the ensemble times 1 − Π(1 − weight) over the kinds, from 0 to 1."""
        agreed = " * ".join(
            f"CASE WHEN {self.condition(kind)} THEN {1 - weight!r} ELSE 1.0 END"
            for kind, weight in WEIGHTS.items()
        )
        return f"(abs(1.0 - 2.0 * P_NOT) * (1.0 - {agreed}))"

    def reason(self) -> str:
        """What is at odds, in words; null where nothing is."""
        quasar = "format('quasar at z = {:.2f}', Z::DOUBLE)"
        ensemble = f"CASE WHEN {QN_QUASAR} THEN {quasar} ELSE 'no quasar' END"
        redrock = "format('{} at z = {:.2f}', SPECTYPE_RR, Z_RR)"
        words = {
            Kind.spectype: f"format('the ensemble says {{}}, Redrock {{}}', {ensemble}, {redrock})",
            Kind.redshift: "format('quasar at z = {:.2f} by the ensemble and {:.2f} by Redrock', "
            "Z::DOUBLE, Z_RR)",
            Kind.warning: "format('Redrock warns (ZWARN {})', ZWARN_RR::BIGINT)",
            Kind.delta_chi2: "format('another fit of Redrock is about as good (Δχ² {:.0f})', "
            "DELTACHI2_RR)",
            Kind.template_end: "'Redrock''s redshift is at the end of the galaxy templates'",
            Kind.camera_join: "'Redrock''s Lyman α lies where two cameras join'",
        }
        cases = ", ".join(f"CASE WHEN {self.condition(k)} THEN {words[k]} END" for k in WEIGHTS)
        return f"nullif(concat_ws('; ', {cases}), '')"
