"""Counts of redshifts in a scores dataset, of the ensemble and of Redrock, computed by DuckDB.

A spectrum is a quasar of the ensemble if most members vote so, and one of Redrock if SPECTYPE_RR is
QSO. Sky fibres are counted apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.scores.dataset import ScoresFolder
from qnal.scores.statistics import MEMORY, from_parquet

Z_BIN, GRID_BIN, DZ_BIN = 0.005, 0.05, 0.01
SMOOTHED = 4  # bins of Z_BIN per bin of the smooth curve
MEDIAN, KERNEL = 21, 4.0  # bins: running median, then Gaussian of this width
FAR = 4.0  # standard deviations above the curve from which on a bin is a pile-up
LEAST = 5  # spectra that a pile-up has at least

VIEWS = """
    CREATE VIEW usable AS
    SELECT *, C_NOT < 0.5 AS QUASAR, coalesce(OBJTYPE, '') = 'SKY' OR TARGETID < 0 AS SKY,
           CASE WHEN C_NOT >= greatest(C_QSO_LZ, C_QSO_HZ) THEN 'NOT'
                WHEN C_QSO_LZ >= C_QSO_HZ THEN 'QSO_LZ' ELSE 'QSO_HZ' END AS CLASS
    FROM parts WHERE STATUS = 'ok';
    CREATE VIEW targets AS FROM usable WHERE NOT SKY;
"""
ENSEMBLE = {
    "z": f"""
        SELECT 'ensemble' AS source, floor(Z / {Z_BIN})::INTEGER AS bin, count(*) AS n
        FROM targets WHERE QUASAR GROUP BY ALL ORDER BY ALL""",
    "sky": """
        SELECT NIGHT, PETAL_LOC, count(*) AS spectra, count(*) FILTER (QUASAR) AS quasars
        FROM usable WHERE SKY GROUP BY ALL ORDER BY ALL""",
}
REDROCK = {
    "z_redrock": f"""
        SELECT 'redrock' AS source, floor(Z_RR / {Z_BIN})::INTEGER AS bin, count(*) AS n
        FROM targets WHERE SPECTYPE_RR = 'QSO' AND Z_RR IS NOT NULL GROUP BY ALL ORDER BY ALL""",
    "classes": """
        SELECT CLASS AS ensemble, SPECTYPE_RR AS redrock, count(*) AS n
        FROM targets WHERE SPECTYPE_RR IS NOT NULL GROUP BY ALL ORDER BY ALL""",
    "pairs": f"""
        SELECT SPECTYPE_RR AS spectype, floor(Z / {GRID_BIN})::INTEGER AS z,
               floor(Z_RR / {GRID_BIN})::INTEGER AS z_rr, count(*) AS n
        FROM targets WHERE QUASAR AND Z_RR IS NOT NULL GROUP BY ALL ORDER BY ALL""",
    "dz": f"""
        SELECT floor(greatest(-1, least(0.999, DZ)) / {DZ_BIN})::INTEGER AS bin, count(*) AS n
        FROM (SELECT *, (Z_RR - Z) / (1 + Z) AS DZ FROM targets)
        WHERE QUASAR AND SPECTYPE_RR = 'QSO' AND DZ IS NOT NULL GROUP BY ALL ORDER BY ALL""",
}
COLUMNS = {
    "z": ("source", "bin", "n"),
    "sky": ("NIGHT", "PETAL_LOC", "spectra", "quasars"),
    "classes": ("ensemble", "redrock", "n"),
    "pairs": ("spectype", "z", "z_rr", "n"),
    "dz": ("bin", "n"),
}


@dataclass(frozen=True)
class RedshiftCounts:
    """Counts over a dataset.

    Attributes:
        z: quasars per bin of redshift; columns source (ensemble, redrock), bin, n.
        sky: sky spectra and those called quasars; columns NIGHT, PETAL_LOC, spectra, quasars.
        classes: spectra by class; columns ensemble, redrock, n. Empty without Redrock.
        pairs: quasars of the ensemble per cell of both redshifts; columns spectype, z, z_rr, n.
        dz: quasars of both per bin of (Z_RR − Z)/(1 + Z), from −1 to 1; columns bin, n.
    """

    z: pd.DataFrame
    sky: pd.DataFrame
    classes: pd.DataFrame
    pairs: pd.DataFrame
    dz: pd.DataFrame

    @property
    def has_redrock(self) -> bool:
        """Whether there are results of Redrock."""
        return len(self.classes) > 0

    def histogram(self, source: str) -> NDArray[np.float64]:
        """Quasars per bin of Z_BIN from z = 0 on."""
        mine = self.z[(self.z["source"] == source) & (self.z["bin"] >= 0)]
        out = np.zeros(int(mine["bin"].max()) + 1 if len(mine) else 1)
        out[mine["bin"].to_numpy(int)] = mine["n"]
        return out


def redshift_counts(folder: ScoresFolder, names: Iterable[str], redrock: bool) -> RedshiftCounts:
    """Counts of all parts.

    Args:
        folder: the dataset.
        names: of the files that have parts.
        redrock: whether the parts have the columns of Redrock.

    Raises:
        InputError: a part is damaged.
    """
    parts = [folder.parts / f"{name}.parquet" for name in sorted(names)]
    found = {name: pd.DataFrame(columns=list(columns)) for name, columns in COLUMNS.items()}
    if parts:
        found |= _queried(folder, parts, ENSEMBLE | (REDROCK if redrock else {}))
    if redrock and parts:
        found["z"] = pd.concat([found["z"], found.pop("z_redrock")], ignore_index=True)
    return RedshiftCounts(**found)


def _queried(
    folder: ScoresFolder, parts: list[Path], queries: dict[str, str]
) -> dict[str, pd.DataFrame]:
    with TemporaryDirectory(prefix="qnal-") as spill:
        config = {"memory_limit": MEMORY, "temp_directory": spill}
        with duckdb.connect(":memory:", config=config) as connection:
            try:
                connection.execute(f"CREATE VIEW parts AS FROM {from_parquet(parts)}")
                connection.execute(VIEWS)
                return {name: connection.sql(query).df() for name, query in queries.items()}
            except duckdb.Error as error:
                reason = str(error).splitlines()[0]
                raise InputError(
                    f"{folder.path}: its parts cannot be counted ({reason})."
                ) from error


def smooth(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth curve through counts per bin: a running median, then a Gaussian filter."""
    from scipy.ndimage import gaussian_filter1d, median_filter  # slow to import

    curve: NDArray[np.float64] = gaussian_filter1d(
        median_filter(counts, MEDIAN, mode="constant"), KERNEL, mode="constant"
    )
    # The median of a few counts is below their mean.
    return curve * (counts.sum() / curve.sum() if curve.sum() and np.median(counts) < 5 else 1.0)


def coarse(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts in bins SMOOTHED times as wide."""
    padded = np.pad(counts, (0, -len(counts) % SMOOTHED))
    return padded.reshape(-1, SMOOTHED).sum(axis=1)
