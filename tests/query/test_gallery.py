import numpy as np
import pyarrow as pa
import pytest

from qnal.query.gallery import gallery, read_selected
from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.spectra import spectra_file
from qnal.spectra.grid import named_grid
from qnal.spectra.readers.desi import Desi, find_coadds, read_coadd

GRID = named_grid("linear")
NAMES = ("1/coadd-0-1-exp1.fits", "1/coadd-1-1-exp1.fits", "2/coadd-0-2-exp1.fits")


@pytest.fixture(scope="module")
def pool(coadd_parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    for seed, name in enumerate(NAMES):
        coadd_parts(rows=2, seed=seed, TARGETID=10 * (seed + 1) + np.arange(2)).write(folder / name)
    return folder


def selection(targetid, file, row):
    n = len(targetid)
    shares = {"C_NOT": np.linspace(0.5, 0.6, n), "C_QSO_LZ": np.linspace(0.5, 0.4, n)}
    table = {"TARGETID": targetid, "FILE": file, "ROW": row, "Z": [2.0] * n}
    return select(pa.table(table | shares | {"C_QSO_HZ": [0.0] * n}), QueryOptions(n=n))


def test_spectra_are_those_of_the_files(pool, monkeypatch):
    coadds = {f.name: read_coadd(f, GRID) for f in find_coadds(str(pool), "data.pool")}

    def walk(*_):
        raise AssertionError("the pool was walked")

    monkeypatch.setattr(spectra_file, "files_in_tree", walk)
    chosen = selection([31, 10, 11], [NAMES[2], NAMES[0], NAMES[0]], [1, 0, 1])
    found, failed = read_selected(chosen, [str(pool)], GRID, Desi(), n=2)
    assert failed == []
    assert [spectrum.row["TARGETID"] for spectrum in found] == [31, 10]
    np.testing.assert_array_equal(found[0].x, coadds[NAMES[2]].x[1])
    np.testing.assert_array_equal(found[1].x, coadds[NAMES[0]].x[0])
    files = [str(pool / name) for name in NAMES]  # the same pool, given as files
    again, _ = read_selected(chosen, files, GRID, Desi(), n=2)
    np.testing.assert_array_equal(again[0].x, found[0].x)


def test_one_unreadable_file_does_not_spoil_the_others(pool):
    chosen = selection([1, 99, 10, 11], ["gone.fits", NAMES[1], NAMES[0], NAMES[0]], [0, 0, 0, 7])
    found, failed = read_selected(chosen, str(pool), GRID, Desi(), n=4)
    assert [spectrum.row["TARGETID"] for spectrum in found] == [10]
    assert ["gone.fits" in failed[0], "row 0 is not 99" in failed[1], "row 7" in failed[2]] == [
        True
    ] * 3


def test_figure_shows_spectra_and_votes(pool):
    chosen = selection([31, 10, 11], [NAMES[2], NAMES[0], NAMES[0]], [1, 0, 1])
    found, _ = read_selected(chosen, str(pool), GRID, Desi(), n=3)
    axes = gallery(found, GRID.wave).axes
    assert len(axes) == 3
    for panel, spectrum in zip(axes, found, strict=True):
        np.testing.assert_array_equal(panel.lines[0].get_xydata(), np.c_[GRID.wave, spectrum.x])
    title = axes[0].get_title("left")
    assert title == "1. 31   z 2.000\nNOT 0.50  QSO_LZ 0.50  QSO_HZ 0.00"
