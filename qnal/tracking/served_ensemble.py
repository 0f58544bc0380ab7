"""An ensemble as an MLflow model: what ``mlflow.pyfunc.load_model`` and ``models serve`` call.

A table is scored that has either the column ``x``, spectra on the ensemble's grid as
:meth:`qnal.spectra.rebin.Rebinner.renormalised` gives them, or the columns ``flux``, ``ivar`` and
``wave``, raw pixels in the order of increasing wavelength.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qnal.ensemble.description import MANIFEST
from qnal.errors import InputError
from qnal.inference.ensemble import Ensemble, read_scoring_ensemble

ON_GRID, RAW = ("x",), ("flux", "ivar", "wave")


class ServedEnsemble:
    """A model in the sense of MLflow's ``pyfunc``.

    Attributes:
        ensemble: the ensemble.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble

    def predict(self, table: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Score spectra.

        Args:
            table: one row per spectrum, with ``x`` or with ``flux``, ``ivar`` and ``wave``; each
                cell is an array.
            params: not used.

        Returns:
            STATUS and the score columns, one row per row of the table.

        Raises:
            InputError: columns are missing, or arrays have the wrong length.
        """
        given = {name for name in (*ON_GRID, *RAW) if name in table and table[name].notna().all()}
        if given == set(ON_GRID):
            return self._on_grid(table)
        if given == set(RAW):
            return self._raw(table)
        raise InputError(
            f"columns {sorted(given)} in all rows; an ensemble scores x, or flux, ivar and wave."
        )

    def _on_grid(self, table: pd.DataFrame) -> pd.DataFrame:
        npix = len(self.ensemble.grid)
        if (lengths := {len(x) for x in table["x"]}) - {npix}:
            raise InputError(
                f"x has {min(lengths - {npix})} values; the ensemble's {self.ensemble.grid.name} "
                f"grid has {npix}."
            )
        x = np.array([*table["x"]], dtype=np.float32).reshape(len(table), npix)
        return self.ensemble.score_on_grid(x).to_pandas().drop(columns="ROW")

    def _raw(self, table: pd.DataFrame) -> pd.DataFrame:
        # Spectra with the same wavelengths are rebinned together.
        waves = pd.Series([np.asarray(w, float).tobytes() for w in table["wave"]])
        parts = []
        for _, rows in waves.groupby(waves, sort=False).groups.items():
            some = table.iloc[rows]
            try:
                flux, ivar = (np.array([*some[name]], float) for name in ("flux", "ivar"))
            except ValueError as error:
                raise InputError("flux and ivar must be as long as wave.") from error
            wave = np.asarray(some["wave"].iloc[0], float)
            scores = self.ensemble.score(flux, ivar, wave, pandas=True).drop(columns="ROW")
            parts.append(scores.set_axis(rows))
        return pd.concat(parts).sort_index().reset_index(drop=True)


def _load_pyfunc(path: str) -> ServedEnsemble:
    """Load the model; MLflow calls this function with the path of the model's data."""
    folder = Path(path)
    found = sorted(p.parent for p in folder.rglob(MANIFEST))
    if not found:
        raise InputError(f"{path}: there is no {MANIFEST}.")
    return ServedEnsemble(read_scoring_ensemble(found[0]))
