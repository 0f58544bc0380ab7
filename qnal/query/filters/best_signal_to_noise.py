"""One spectrum per target: the one with the best signal-to-noise ratio."""

from qnal.query.candidates import ORDER, Candidates
from qnal.query.filters.filter import Filter
from qnal.spectra.target_table import SNR, arms_of


class BestSignalToNoise(Filter):
    """Keep the spectrum of each target with the highest sum of SNR² over the arms.

    Arms (cameras) without a signal-to-noise ratio count as 0; ties go by utility.
    """

    name = "best S/N of each target"
    columns = ("SNR_*",)
    optional = False
    per_target = True

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        power = " + ".join(
            f"CASE WHEN {c} > 0 AND isfinite({c}) THEN {c}::DOUBLE ** 2 ELSE 0 END"
            for c in (SNR + arm for arm in arms_of([*candidates.table.columns]))
        )
        return (
            f"FROM {candidates.rows} "
            f"QUALIFY row_number() OVER (PARTITION BY TARGETID ORDER BY {power} DESC, {ORDER}) = 1"
        )
