import numpy as np
import pytest

from qnal.errors import InputError
from qnal.spectra.file_sample import sample_files
from qnal.spectra.grid import named_grid
from qnal.spectra.readers.desi import read_coadd
from qnal.spectra.spectra_file import SpectraFile

GRID = named_grid("log")


@pytest.fixture(scope="module")
def files(coadd_parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coadds")
    return [coadd_parts(rows=4, seed=k).write(folder / f"coadd-{k}.fits") for k in range(3)]


def rows(x):
    return {row.tobytes() for row in x}


def test_all_usable_spectra_if_there_are_fewer(files):
    x, failed = sample_files(files, GRID, 100, seed=1)
    every = np.concatenate([read_coadd(file, GRID).x for file in files]).astype(np.float32)
    assert failed == [] and x.dtype == np.float32
    assert rows(x) == rows(every) and len(x) == 12


def test_sample_depends_on_seed_and_names_only(files):
    x, _ = sample_files(files, GRID, 5, seed=1)
    np.testing.assert_array_equal(x, sample_files(files[::-1], GRID, 5, seed=1)[0])
    assert len(x) == 5
    assert rows(x) != rows(sample_files(files, GRID, 5, seed=2)[0])


def test_unreadable_files_are_named(files, tmp_path):
    (tmp_path / "coadd-9.fits").write_bytes(b"broken")
    mixed = [*files, SpectraFile("coadd-9.fits", tmp_path / "coadd-9.fits")]
    seen = []
    x, (sentence,) = sample_files(
        mixed, GRID, 5, seed=1, progress=lambda _, name: seen.append(name)
    )
    assert "coadd-9.fits" in sentence
    assert seen == [file.name for file in mixed]
    np.testing.assert_array_equal(x, sample_files(files, GRID, 5, seed=1)[0])
    with pytest.raises(InputError, match="coadd-9"):
        sample_files(mixed, GRID, 5, seed=1, strict=True)
