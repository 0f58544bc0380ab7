"""The door for notebooks and other pipelines: an ensemble that scores whatever spectra it is given.

.. code-block:: python

    ensemble = qnal.load_ensemble("work/ensembles/0a1b2c3d4e5f")
    ensemble.score("coadd-1-80693-thru20210204.fits").to_pandas()
    ensemble.score(spectra.flux, spectra.ivar, spectra.wave)  # desispec's dictionaries by camera
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.stored import StoredEnsemble
from qnal.ensemble.votes import Thresholds
from qnal.errors import ConfigError, InputError
from qnal.inference.scorer import Scorer
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.backends.forward import Backend
from qnal.network.precision import Precision
from qnal.spectra.grid import Grid
from qnal.spectra.readers.desi import read_coadd
from qnal.spectra.rebin import Rebinner
from qnal.spectra.spectra_file import SpectraFile

Choice = TypeVar("Choice", bound=StrEnum)
# Pixels of one arm, or of several by name (``{"b": …, "r": …}``) or in order.
Arms = ArrayLike | Mapping[str, ArrayLike] | Sequence[ArrayLike]


class Ensemble:
    """Trained members that score spectra together.

    Attributes:
        stored: the members as they were read, with their checksums and ``ensemble.json``.
        scorer: what turns spectra on the ensemble's grid into score columns.
    """

    def __init__(self, stored: StoredEnsemble, scorer: Scorer) -> None:
        self.stored = stored
        self.scorer = scorer

    def __len__(self) -> int:
        return len(self.stored.networks)

    def __repr__(self) -> str:
        lines = ", ".join([*self.lines, *(f"BAL {name}" for name in self.bal_lines)])
        return f"<qnal ensemble of {len(self)} networks on the {self.grid.name} grid: {lines}>"

    @property
    def lines(self) -> tuple[str, ...]:
        """Names of the lines that the members look for."""
        return self.stored.networks[0].lines

    @property
    def bal_lines(self) -> tuple[str, ...]:
        """Names of the BAL lines."""
        return self.stored.networks[0].bal_lines

    @property
    def grid(self) -> Grid:
        """The wavelength grid that spectra are rebinned to."""
        return self.scorer.grid

    def score(
        self,
        spectra: str | Path | Arms,
        ivar: Arms | None = None,
        wave: Arms | None = None,
        mask: Arms | None = None,
        *,
        use_mask: bool = True,
        pandas: bool = False,
    ) -> Any:
        """Score a coadd file, or spectra in arrays.

        Args:
            spectra: path of a DESI coadd file; or flux, shape [rows, n] or [n] for one spectrum.
                Several cameras are a mapping by camera or a list; then ``ivar``, ``wave`` and
                ``mask`` have the same keys or order.
            ivar: inverse variance of the flux, same shape; pixels with ivar ≤ 0 do not count.
            wave: wavelength of the pixels, shape [n], Å, increasing.
            mask: non-zero where a pixel is bad, same shape as the flux.
            use_mask: of a coadd file, ignore pixels that its ``X_MASK`` flags (QuasarNP does not).
            pandas: return a DataFrame instead of a pyarrow Table.

        Returns:
            One row a spectrum, in order: of a file, the whole scores table of FORMATS.md
            section 11; of arrays ROW, STATUS and its score columns. Rows whose STATUS is not
            ``ok`` have null scores.

        Raises:
            InputError: the file is broken, or the arrays' shapes do not belong together.
        """
        if isinstance(spectra, str | Path):
            if ivar is not None or wave is not None or mask is not None:
                raise InputError("score() takes a coadd file alone, or flux, ivar and wave.")
            path = Path(spectra).expanduser()
            coadd = read_coadd(SpectraFile(path.name, path), self.grid, use_mask)
            table = self.scorer.table(coadd.table, coadd.x)
        else:
            if ivar is None or wave is None:
                raise InputError("score() takes a coadd file alone, or flux, ivar and wave.")
            x, status = _rebinned(spectra, ivar, wave, mask, self.grid)
            rows = pa.array(np.arange(len(x)), pa.int32())
            table = self.scorer.table(pa.table({"ROW": rows, "STATUS": status}), x)
        return table.to_pandas() if pandas else table


def read_scoring_ensemble(
    path: str | Path,
    n: int | None = None,
    lines: Sequence[str] = QUASARNET_LINES,
    bal_lines: Sequence[str] = QUASARNET_BAL_LINES,
    *,
    thresholds: Thresholds | None = None,
    backend: Backend | str = Backend.tensorflow,
    batch_size: int = 512,
    precision: Precision | str = Precision.float32,
    calibrate: bool = True,
) -> Ensemble:
    """Read an ensemble from disk.

    Args:
        path: a folder that qnal trained, a folder of QuasarNET weight files, or one such file.
        n: how many members to take; None: all.
        lines, bal_lines: names of the heads, for files that do not say; ours do.
        thresholds: when a member votes quasar; None: as the ensemble was trained, or the
            reference's (confidence above 0.95 in one line, high redshift from 2.1 on).
        backend: what computes forward passes: ``tensorflow``, ``numpy`` or ``quasarnp``.
        batch_size: spectra in one pass of a member; it bounds memory.
        precision: ``float32``; ``auto``, as ``infer.precision`` has it, which is twice as fast on
            many spectra, with the same votes and confidences to 0.01; or ``bfloat16``.
        calibrate: whether soft outputs (P_*, ENTROPY, MUTUAL_INFO) go through the calibration
            that is stored with an ensemble of ours; votes never do.

    Raises:
        InputError: there is no ensemble, or a file of it is broken.
        ConfigError: an argument cannot be used.
    """
    if n is not None and n < 1:
        raise ConfigError(f"n={n} cannot be used; it takes a number of members from 1 on.")
    backend = _choice(Backend, "backend", backend)
    precision = _choice(Precision, "precision", precision)
    stored = EnsembleFolder(Path(path).expanduser()).read(lines, bal_lines, n)
    thresholds = thresholds or stored.description.thresholds
    scorer = Scorer.of(stored, thresholds, backend, batch_size, precision, calibrate=calibrate)
    return Ensemble(stored, scorer)


def _choice(kind: type[Choice], name: str, value: str) -> Choice:
    try:
        return kind(value)
    except ValueError as error:
        valid = ", ".join(kind)
        raise ConfigError(f"{name}={value!r} is not known; valid ones: {valid}.") from error


def _rebinned(
    flux: Any, ivar: Any, wave: Any, mask: Any | None, grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Renormalised spectra and their STATUS, of one arm or several."""
    given = {"flux": flux, "ivar": ivar, "wave": wave} | ({} if mask is None else {"mask": mask})
    arms = {name: _arms(name, value, wave) for name, value in given.items()}
    rebinner: Rebinner | None = None
    for arm in arms["wave"]:
        for name, value in arms.items():
            if value.keys() != arms["wave"].keys():
                raise InputError(f"{name} has arms {[*value]}, wave has {[*arms['wave']]}.")
        f, i, *m = (np.atleast_2d(value[arm]) for name, value in arms.items() if name != "wave")
        w = arms["wave"][arm]
        if w.ndim != 1 or not (np.isfinite(w).all() and (w > 0).all() and (np.diff(w) > 0).all()):
            raise InputError("wave is no list of increasing wavelengths in Å.")
        rebinner = rebinner or Rebinner(len(f), grid)
        expected = (len(rebinner.ivar), len(w))
        for name, array in zip(("flux", "ivar", "mask"), (f, i, *m), strict=False):
            if array.shape != expected:
                raise InputError(
                    f"{name} has shape {array.shape}, not {expected}, spectra by wavelengths."
                )
        rebinner.add(f, i, w, m[0] if m else None)
    if rebinner is None:
        raise InputError("wave has no arm.")
    return rebinner.renormalised()


def _arms(name: str, value: Any, wave: Any) -> dict[Any, NDArray]:
    """Arrays by arm; one arm goes by the number 0, and so on in a list."""
    if isinstance(wave, Mapping) != isinstance(value, Mapping):
        raise InputError(f"{name} and wave must both be by camera, or neither.")
    if isinstance(value, Mapping):
        arms = dict(value)
    elif isinstance(wave, list | tuple) and len(wave) and np.ndim(wave[0]) == 1:
        arms = dict(enumerate(value))
    else:
        arms = {0: value}
    if any(np.ma.is_masked(array) for array in arms.values()):
        raise InputError(
            f"{name} is a masked array; give its data and, as mask, where it is masked: "
            "score(flux.data, ivar.data, wave, flux.mask)."
        )
    try:
        arrays = {arm: np.asarray(array) for arm, array in arms.items()}
    except ValueError as error:
        raise InputError(f"{name} is no array of numbers ({error}).") from error
    if any(array.dtype.kind not in "fiub" for array in arrays.values()):
        raise InputError(f"{name} is no array of numbers.")
    return arrays
