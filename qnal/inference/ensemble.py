"""Score spectra from Python with a trained ensemble.

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

from qnal.ensemble.combination import CombinationRule, is_ok
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.stored import StoredEnsemble
from qnal.ensemble.votes import Thresholds
from qnal.errors import ConfigError, InputError
from qnal.inference.members import Members, forward_passes, members_of
from qnal.inference.packing import Packing
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.backends.forward import Backend
from qnal.network.precision import Precision
from qnal.spectra.grid import Grid
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.reader import Reader
from qnal.spectra.rebin import Rebinner, Status
from qnal.spectra.spectra_file import SpectraFile

Choice = TypeVar("Choice", bound=StrEnum)
# Pixels of one camera, or of several by name (``{"b": …, "r": …}``) or in order.
Cameras = ArrayLike | Mapping[str, ArrayLike] | Sequence[ArrayLike]


class Ensemble:
    """Trained members that score spectra together; see :func:`qnal.load_ensemble`.

    Attributes:
        stored: the members as read, with their checksums and ``ensemble.json``.
        members: the members with what runs them.
        rule: how their predictions are combined.
        batch_size: spectra in one forward pass.
    """

    def __init__(
        self, stored: StoredEnsemble, members: Members, rule: CombinationRule, batch_size: int = 512
    ) -> None:
        self.stored = stored
        self.members = members
        self.rule = rule
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.stored.networks)

    def __repr__(self) -> str:
        lines = ", ".join([*self.lines, *(f"BAL {name}" for name in self.bal_lines)])
        return f"<qnal ensemble of {len(self)} networks on the {self.grid.name} grid: {lines}>"

    @property
    def lines(self) -> tuple[str, ...]:
        """Names of the lines that the members detect."""
        return self.members.first.lines

    @property
    def bal_lines(self) -> tuple[str, ...]:
        """Names of the BAL lines."""
        return self.members.first.bal_lines

    @property
    def grid(self) -> Grid:
        """The wavelength grid that spectra are rebinned to."""
        return self.members.first.grid

    def score(
        self,
        spectra: str | Path | Cameras,
        ivar: Cameras | None = None,
        wave: Cameras | None = None,
        mask: Cameras | None = None,
        *,
        use_mask: bool = True,
        reader: Reader | None = None,
        pandas: bool = False,
    ) -> Any:
        """Score a file of spectra, or spectra in arrays.

        Args:
            spectra: path of a DESI coadd, or of a file that ``reader`` reads; or flux, shape
                [rows, n] or [n] for one spectrum. Several cameras are a mapping by camera or a
                list; then ``ivar``, ``wave`` and ``mask`` have the same keys or order.
            ivar: inverse variance of the flux, same shape; pixels with ivar ≤ 0 are ignored.
            wave: wavelength of the pixels, shape [n], Å, increasing.
            mask: non-zero where a pixel is bad, same shape as the flux.
            use_mask: for a coadd file, ignore pixels that its ``X_MASK`` flags (QuasarNP does not).
            reader: of the file, instead of that of DESI coadds, such as
                ``qnal.spectra.readers.phase3.Phase3()``.
            pandas: return a DataFrame instead of a pyarrow Table.

        Returns:
            One row per spectrum, in order: for a file all columns of a scores dataset
            (docs/scores.md); for arrays ROW, STATUS and the score columns. Rows whose STATUS is
            not ``ok`` have null scores.

        Raises:
            InputError: the file is broken, or the arrays' shapes do not match.
        """
        if isinstance(spectra, str | Path):
            if ivar is not None or wave is not None or mask is not None:
                raise InputError("score() takes a coadd file alone, or flux, ivar and wave.")
            path = Path(spectra).expanduser()
            read = (reader or Desi(use_mask)).read(SpectraFile(path.name, path), self.grid)
            table = self._scored(read.table, read.x)
        else:
            if ivar is None or wave is None:
                raise InputError("score() takes a coadd file alone, or flux, ivar and wave.")
            x, status = _rebinned(spectra, ivar, wave, mask, self.grid)
            rows = pa.array(np.arange(len(x)), pa.int32())
            table = self._scored(pa.table({"ROW": rows, "STATUS": status}), x)
        return table.to_pandas() if pandas else table

    def score_on_grid(self, x: NDArray[np.floating]) -> pa.Table:
        """Score renormalised spectra on the ensemble's grid, shape [rows, npix].

        Returns:
            ROW, STATUS and the score columns; spectra with NaN or infinite values have no scores.
        """
        ok = np.isfinite(x).all(axis=1)
        status = np.where(ok, str(Status.OK), str(Status.NON_FINITE))
        rows = pa.array(np.arange(len(x)), pa.int32())
        return self._scored(pa.table({"ROW": rows, "STATUS": status}), x)

    def _scored(self, target_table: pa.Table, x: NDArray[np.floating]) -> pa.Table:
        """The table with its score columns, from renormalised spectra, [rows, npix]."""
        packing = Packing.of(self.stored.networks)
        packed = forward_passes(self.members, x[is_ok(target_table)], packing, self.batch_size)
        predictions = packing.unpack(packed)
        return self.rule.table(target_table, predictions, self.lines, self.bal_lines)


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
        path: a folder trained by qnal, a folder of QuasarNET weight files, or one such file.
        n: number of members to use; None: all.
        lines, bal_lines: names of the heads, for weight files that do not name them.
        thresholds: when a member votes quasar; None: those that the ensemble was trained with, or
            the reference's (confidence above 0.95 in one line, high redshift from 2.1 on).
        backend: what computes forward passes: ``tensorflow``, ``numpy`` or ``quasarnp``.
        batch_size: spectra in one forward pass; it bounds memory.
        precision: ``float32``; ``auto``, as ``infer.precision`` (twice as fast on many spectra,
            the same votes at the usual thresholds, confidences within 0.01); or ``bfloat16``.
        calibrate: whether the calibration stored with the ensemble is applied to the soft outputs
            (P_*, ENTROPY, MUTUAL_INFO); votes are never calibrated.

    Raises:
        InputError: there is no ensemble, or a file of it is broken.
        ConfigError: an argument cannot be used.
    """
    if n is not None and n < 1:
        raise ConfigError(f"n={n} cannot be used; it takes a number of members from 1 on.")
    backend = _choice(Backend, "backend", backend)
    precision = _choice(Precision, "precision", precision)
    stored = EnsembleFolder(Path(path).expanduser()).read(lines, bal_lines, n)
    description = stored.description
    thresholds = thresholds or description.thresholds
    members = members_of(stored.networks, backend, precision, thresholds.min_lines)
    calibration = description.calibration_for(thresholds) if calibrate else None
    rule = CombinationRule(thresholds, description.bal_trained, calibration)
    return Ensemble(stored, members, rule, batch_size)


def _choice(kind: type[Choice], name: str, value: str) -> Choice:
    try:
        return kind(value)
    except ValueError as error:
        valid = ", ".join(kind)
        raise ConfigError(f"{name}={value!r} is not known; valid ones: {valid}.") from error


def _rebinned(
    flux: Any, ivar: Any, wave: Any, mask: Any | None, grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Renormalised spectra and their STATUS, from one camera or several."""
    given = {"flux": flux, "ivar": ivar, "wave": wave} | ({} if mask is None else {"mask": mask})
    cameras = {name: _by_camera(name, value, wave) for name, value in given.items()}
    rebinner: Rebinner | None = None
    for camera in cameras["wave"]:
        for name, value in cameras.items():
            if value.keys() != cameras["wave"].keys():
                raise InputError(f"{name} has cameras {[*value]}, wave has {[*cameras['wave']]}.")
        f, i, *m = (np.atleast_2d(v[camera]) for name, v in cameras.items() if name != "wave")
        w = cameras["wave"][camera]
        if w.ndim != 1 or not (np.isfinite(w).all() and (w > 0).all() and (np.diff(w) > 0).all()):
            raise InputError("wave must be a list of increasing wavelengths in Å.")
        rebinner = rebinner or Rebinner(len(f), grid)
        expected = (len(rebinner.ivar), len(w))
        for name, array in zip(("flux", "ivar", "mask"), (f, i, *m), strict=False):
            if array.shape != expected:
                raise InputError(
                    f"{name} has shape {array.shape}; expected {expected}, spectra by wavelengths."
                )
        rebinner.add(f, i, w, m[0] if m else None)
    if rebinner is None:
        raise InputError("wave has no camera.")
    return rebinner.renormalised()


def _by_camera(name: str, value: Any, wave: Any) -> dict[Any, NDArray]:
    """Arrays by camera; those of a list are numbered, a single one is number 0."""
    if isinstance(wave, Mapping) != isinstance(value, Mapping):
        raise InputError(f"{name} and wave must both be mappings by camera, or neither.")
    if isinstance(value, Mapping):
        cameras = dict(value)
    elif isinstance(wave, list | tuple) and len(wave) and np.ndim(wave[0]) == 1:
        cameras = dict(enumerate(value))
    else:
        cameras = {0: value}
    if any(np.ma.is_masked(array) for array in cameras.values()):
        raise InputError(
            f"{name} is a masked array; give its data, and its mask as mask: "
            "score(flux.data, ivar.data, wave, flux.mask)."
        )
    try:
        arrays = {camera: np.asarray(array) for camera, array in cameras.items()}
    except ValueError as error:
        raise InputError(f"{name} must be an array of numbers ({error}).") from error
    if any(array.dtype.kind not in "fiub" for array in arrays.values()):
        raise InputError(f"{name} must be an array of numbers.")
    return arrays
