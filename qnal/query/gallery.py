"""A gallery of the first selected spectra, read again from their files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.figure_style import AFTER, CHOSEN, INK, new_figure
from qnal.lines import REST_WAVELENGTH
from qnal.query.selection import Selection
from qnal.spectra.grid import Grid
from qnal.spectra.readers.reader import Reader, Spectra
from qnal.spectra.spectra_file import SpectraFile, common_folder, paths_of

LINE_LABELS = {
    "LYA": "Lyα",
    "CIV(1548)": "C IV",
    "CIII(1909)": "C III]",
    "MgII(2796)": "Mg II",
    "Hbeta": "Hβ",
    "Halpha": "Hα",
}
CLASSES = ("NOT", "QSO_LZ", "QSO_HZ")


@dataclass(frozen=True, eq=False)
class SelectedSpectrum:
    """A selected spectrum.

    Attributes:
        row: its row of the selection (RANK, TARGETID, Z and the vote shares C_* are shown).
        x: renormalised spectrum, shape [npix].
    """

    row: Mapping[str, Any]
    x: NDArray[np.floating]


def read_selected(
    selection: Selection, pool: str | Sequence[str], grid: Grid, reader: Reader, n: int
) -> tuple[list[SelectedSpectrum], list[str]]:
    """Read the first ``n`` selected spectra of a pool.

    Args:
        pool: folders, files or globs; FILE is relative to their common folder.
        grid: grid to rebin to.
        reader: of the pool.

    Returns:
        The spectra that could be read, and one sentence per spectrum that could not.

    Raises:
        InputError: the pool does not exist.
    """
    if "FILE" not in selection.table.column_names or "ROW" not in selection.table.column_names:
        return [], ["The scores have no FILE and ROW."]
    folder = common_folder(paths_of(pool, "data.pool"))
    files: dict[str, Spectra] = {}
    found, failed = [], []
    for row in selection.table.slice(0, n).to_pylist():
        name = row["FILE"]
        try:
            if name not in files:
                files[name] = reader.read(SpectraFile(name, folder / name), grid)
            spectra, index = files[name], row["ROW"]
            found_id = spectra.table["TARGETID"][index].as_py() if index < len(spectra.x) else None
            if found_id != row["TARGETID"]:
                raise InputError(f"{folder / name}: row {index} is not {row['TARGETID']}.")
            found.append(SelectedSpectrum(row, spectra.x[index]))
        except InputError as error:
            failed.append(str(error))
    return found, failed


def gallery(spectra: Sequence[SelectedSpectrum], wave: NDArray[np.floating]) -> Figure:
    """The spectra on the networks' grid, with rank, TARGETID, redshift and vote shares.

    Args:
        spectra: at least one.
        wave: the grid, shape [npix], Å.
    """
    columns = min(2, len(spectra))
    rows = -(-len(spectra) // columns)
    figure, panels = new_figure(10, 1.1 + 1.9 * rows, rows, columns)
    for unused in panels[len(spectra) :]:
        unused.remove()
    for k, (axes, spectrum) in enumerate(zip(panels, spectra, strict=False)):
        x = without_empty_pixels(spectrum.x)
        axes.plot(wave, x, color=AFTER, lw=0.7)
        known = x[~np.isnan(x)]
        low, high = np.percentile(known if len(known) else spectrum.x, [0.5, 99.5])
        margin = 0.15 * (high - low) or 1.0
        axes.set(xlim=(wave[0], wave[-1]), ylim=(low - margin, high + margin))
        _mark_lines(axes, spectrum.row.get("Z"), wave)
        if k % columns == 0:
            axes.set_ylabel("flux / rms", fontsize=9)
        axes.set_title(_title(spectrum.row), fontsize=8.5, loc="left", color=INK)
        if k >= len(spectra) - columns:
            axes.set_xlabel("observed wavelength [Å]", fontsize=9)
    return figure


def without_empty_pixels(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """A renormalised spectrum with NaN in pixels without data.

    All of them have the same number, minus the mean flux in units of its rms, down to the last bit
    (:meth:`~qnal.spectra.rebin.Rebinner.renormalised`); pixels with data have different ones.
    """
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    return np.where(counts[place] > 1, np.nan, x).astype(np.float64)


def _mark_lines(axes: Axes, z: float | None, wave: NDArray[np.floating]) -> None:
    """Mark the networks' emission lines at a redshift."""
    if z is None or not np.isfinite(z):
        return
    for name, label in LINE_LABELS.items():
        place = REST_WAVELENGTH[name] * (1 + z)
        if wave[0] < place < wave[-1]:
            axes.axvline(place, color=CHOSEN, lw=0.7, ls=(0, (4, 3)), zorder=0)
            axes.annotate(label, (place, 0.98), xycoords=("data", "axes fraction"),
                          xytext=(2, 0), textcoords="offset points", va="top",
                          color=CHOSEN, fontsize=7)  # fmt: skip


def _title(row: Mapping[str, Any]) -> str:
    z = row.get("Z")
    redshift = "" if z is None else f"   z {z:.3f}"
    shares = [
        f"{name} {row[f'C_{name}']:.2f}" for name in CLASSES if row.get(f"C_{name}") is not None
    ]
    return f"{row['RANK']}. {row['TARGETID']}{redshift}\n{'  '.join(shares)}"
