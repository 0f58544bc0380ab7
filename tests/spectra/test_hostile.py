"""Files that are broken in any way: refused with a sentence that names them, or read right."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qnal.errors import InputError
from qnal.labels.boss_truth import read_boss_truth
from qnal.labels.inspection_table import read_inspections
from qnal.spectra.grid import named_grid
from qnal.spectra.readers.boss import read_boss_spectra
from qnal.spectra.readers.desi import read_coadd
from qnal.spectra.readers.reader import Spectra
from qnal.spectra.readers.sdss import read_sdss
from qnal.spectra.spectra_file import SpectraFile

LOG = named_grid("log")
FIRST = 39633559463397282
READERS: dict[str, Callable[[Path], Any]] = {
    "coadd.fits": lambda path: read_coadd(SpectraFile(path.name, path), LOG),
    "coadd.fits.gz": lambda path: read_coadd(SpectraFile(path.name, path), LOG),
    "dr12_train.fits": lambda path: read_boss_spectra(path, LOG),
    "truth_dr12q.fits": lambda path: read_boss_truth([path], 2.1),
    "spec-1-2-3.fits": lambda path: read_sdss(path, LOG),
    "truth.csv": read_inspections,
    "truth.fits": read_inspections,
}
fuzz = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, coadd_parts: Callable[..., Any]
) -> tuple[bytes, Spectra, list[int]]:
    """A small coadd as bytes, as read, and where its HDUs begin."""
    parts = coadd_parts(rows=2)
    parts.hdus["UTILITIES"] = np.zeros(2, [("TARGETID", "i8")])
    file = parts.write(tmp_path_factory.mktemp("whole") / "coadd.fits")
    with fitsio.FITS(str(file.path)) as fits:
        starts = [hdu.get_info()["header_start"] for hdu in fits]
        starts += [hdu.get_info()["data_start"] for hdu in fits]
    return file.path.read_bytes(), read_coadd(file, LOG), sorted(set(starts))


def outcome(path: Path, read: Callable[[Path], Any]) -> Any:
    """What a reader gives, or None where it refuses by name."""
    try:
        return read(path)
    except InputError as error:
        sentence = str(error)
    assert str(path) in sentence
    assert len(sentence) > len(str(path)) + 10
    return None


def assert_same(found: Spectra | None, expected: Spectra) -> None:
    """Refused, or read as if nothing had been cut off."""
    if found is not None:
        assert np.array_equal(found.x, expected.x)
        assert found.table["TARGETID"].equals(expected.table["TARGETID"])


@pytest.mark.parametrize("name", READERS)
@fuzz
@given(content=st.binary(max_size=400), head=st.sampled_from([b"", b"\x1f\x8b", b"SIMPLE  ="]))
def test_random_bytes_are_refused(tmp_path: Path, name: str, content: bytes, head: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(head + content)
    assert outcome(path, READERS[name]) is None


@pytest.mark.parametrize("name", READERS)
def test_absent_empty_and_folder_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert outcome(path, READERS[name]) is None
    path.touch()
    assert outcome(path, READERS[name]) is None
    path.unlink()
    path.mkdir()
    assert outcome(path, READERS[name]) is None


def test_a_file_cut_at_or_inside_any_hdu_is_refused(tmp_path: Path, whole: tuple) -> None:
    content, expected, starts = whole
    last = starts[-2]  # UTILITIES, which nobody needs
    path = tmp_path / "coadd.fits"
    for start in starts:
        for cut in (start, start + 1, start + 700, start + 2881):
            path.write_bytes(content[:cut])
            found = outcome(path, READERS["coadd.fits"])
            if cut < last - 2880:
                assert found is None, cut
            assert_same(found, expected)


def test_a_zipped_file_cut_anywhere_is_refused_or_right(tmp_path: Path, whole: tuple) -> None:
    content, expected, _ = whole
    zipped = gzip.compress(content, 1)
    path = tmp_path / "coadd.fits.gz"
    for share in np.linspace(0.01, 1, 60):
        path.write_bytes(zipped[: int(share * len(zipped))])
        assert_same(outcome(path, READERS["coadd.fits.gz"]), expected)


@fuzz
@given(data=st.data())
def test_flipped_bytes_never_give_wrong_numbers_of_rows(
    tmp_path: Path, whole: tuple, data: st.DataObject
) -> None:
    content, expected, starts = whole
    spoilt = bytearray(content)
    # Headers are where it hurts; each begins a block of 2880 bytes.
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.sampled_from(starts))
        spoilt[start + data.draw(st.integers(0, 1200))] = data.draw(st.integers(0, 255))
    path = tmp_path / "coadd.fits"
    path.write_bytes(bytes(spoilt))
    found = outcome(path, READERS["coadd.fits"])
    if found is not None:
        assert found.x.shape == expected.x.shape
        assert np.isfinite(found.x).all()
        assert len(found.table) == len(expected.table)


@pytest.mark.parametrize("axis", ["NAXIS1", "NAXIS2"])
def test_a_header_that_claims_too_much_allocates_nothing(
    tmp_path: Path, whole: tuple, axis: str
) -> None:
    content, _, _ = whole
    spoilt = bytearray(content)
    at = spoilt.find(axis.encode(), spoilt.find(b"B_FLUX") - 2880)
    spoilt[at : at + 30] = f"{axis:8}= {10**12:>20}".encode()
    path = tmp_path / "coadd.fits"
    path.write_bytes(bytes(spoilt))
    assert outcome(path, READERS["coadd.fits"]) is None


@fuzz
@given(text=st.text(alphabet='abc,;\n"123.-e \t', max_size=120))
def test_any_text_is_a_truth_table_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n" + text)
    found = outcome(path, read_inspections)
    if found is not None:
        assert found["TARGETID"].dtype == np.int64
        first = [line.split(",")[0].strip(' "') for line in text.splitlines() if line.strip()]
        if '"' not in text:  # quoted, a line end may be part of a cell
            assert found["TARGETID"].tolist() == [int(word) for word in first]
