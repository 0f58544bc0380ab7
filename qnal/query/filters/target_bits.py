"""Targets selected by the survey for a science programme."""

from collections.abc import Sequence

from qnal.errors import ConfigError
from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter

# Bits of DESI_TARGET, SV1_, SV2_ and SV3_DESI_TARGET, which agree for these names.
BITS = {"LRG": 0, "ELG": 1, "QSO": 2, "BGS_ANY": 60, "MWS_ANY": 61, "SCND_ANY": 62}
# Bits of CMX_TARGET, of commissioning, by the same names: SV0_QSO and MINI_SV_QSO.
CMX_BITS = {"QSO": (12, 55)}


class TargetBits(Filter):
    """Keep spectra whose target bits include one of the given names.

    The column DESI_TARGET of the scores holds the bits of the survey that a file is of; where
    SURVEY is ``cmx``, they mean something else. Spectra with unknown bits are dropped.

    Args:
        names: names of target classes, such as QSO.
    """

    also = ("SURVEY",)
    optional = False

    def __init__(self, names: Sequence[str]) -> None:
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in BITS:
                raise ConfigError(f"{name} is not a target class; valid names: {', '.join(BITS)}")
        if not names:
            raise ConfigError("names: no target class is given")
        self.name = f"target class {' or '.join(names)}"
        self.columns = ("DESI_TARGET",)
        self.mask = sum(1 << BITS[name] for name in names)
        self.cmx_mask = sum(1 << bit for name in names for bit in CMX_BITS.get(name, ()))

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        condition = f"DESI_TARGET & {self.mask} <> 0"
        if candidates.table.has("SURVEY"):
            cmx = f"DESI_TARGET & {self.cmx_mask} <> 0"
            condition = f"CASE WHEN SURVEY = 'cmx' THEN {cmx} ELSE {condition} END"
        return f"FROM {candidates.rows} WHERE {condition}"
