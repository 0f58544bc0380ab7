"""Redrock's results: finding and reading them, on real files of two layouts."""

import shutil

import fitsio
import numpy as np
import pytest

from qnal.errors import InputError
from qnal.spectra.redrock import RedrockFiles, RedrockFinder, forget_listings, read_redrock
from qnal.spectra.spectra_file import SpectraFile


@pytest.fixture(autouse=True)
def fresh():
    forget_listings()


def test_real_files_of_both_layouts(real_data):
    folder = real_data / "redrock"
    new = read_redrock(RedrockFiles(folder / "redrock-test.fits"))
    assert new.targetid.tolist() == [616094145466860255, 39633393167631849, 39633393167633604]
    assert new.zwarn.tolist() == [1, 0, 0] and set(new.spectype) == {"GALAXY"}
    assert new.z[1] == pytest.approx(0.157138086)
    old = read_redrock(RedrockFiles(folder / "zbest-qso-68002-20200315.fits"))
    assert set(old.spectype) == {"QSO"} and old.coeff.shape == (5, 10)
    assert old.rows_of(np.array([35185935939273277, 5])).tolist() == [2, -1]


def test_narrow_types_of_newer_versions(tmp_path):
    table = np.zeros(2, [("SUBTYPE", "S3"), ("SPECTYPE", "S6"), ("TARGETID", "i8"), ("Z", "f4"),
                         ("ZERR", "f4"), ("ZWARN", "i2"), ("DELTACHI2", "f4"), ("CHI2", "f4"),
                         ("FITMETHOD", "S4"), ("COEFF", "f4", (4,))])  # fmt: skip
    table["TARGETID"], table["Z"], table["SPECTYPE"] = [2**60, 7], [2.5, 0.1], [b"QSO", b"STAR"]
    table["COEFF"] = 1
    fitsio.write(str(tmp_path / "redrock-a.fits"), table, extname="REDSHIFTS")
    mgii = np.array([(7, True)], [("TARGETID", "i8"), ("IS_QSO_MGII", "?")])
    fitsio.write(str(tmp_path / "qso_mgii-a.fits"), mgii, extname="MGII")
    file = SpectraFile("coadd-a.fits.gz", tmp_path / "coadd-a.fits.gz")
    found = RedrockFinder().find(file)
    results = read_redrock(found)
    assert results.z.dtype == np.float64 and results.zwarn.dtype == np.int64
    assert results.coeff[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert results.is_qso_mgii == {7: True} and results.subtype.tolist() == ["", ""]


def test_files_are_found_below_a_folder(real_data, tmp_path):
    source = real_data / "redrock" / "redrock-test.fits"
    file = SpectraFile("1/2/coadd-0-1-thru2.fits", tmp_path / "pool/1/2/coadd-0-1-thru2.fits")
    folder = tmp_path / "other"
    for place in ("x", "y", "1/2"):
        path = folder / place / "redrock-0-1-thru2.fits"
        path.parent.mkdir(parents=True)
        shutil.copy(source, path)
    assert RedrockFinder(folder).find(file).results == path  # where the pool has it
    path.unlink()
    with pytest.raises(InputError, match=r"2 files called redrock-0-1-thru2.fits"):
        RedrockFinder(folder).find(file)
    (folder / "x" / path.name).unlink()
    assert RedrockFinder(folder).find(file).results == folder / "y" / path.name
    lost = SpectraFile("coadd-9.fits", tmp_path / "coadd-9.fits")
    assert RedrockFinder(folder).find(lost) == RedrockFiles()
    assert RedrockFiles().version() == ""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"TARGETID": [5, 5]}, "1 of its 2 rows repeat a TARGETID"),
        ({"TARGETID": [5.0, 6.0]}, "64-bit integer"),
        ({"SPECTYPE": None}, "no column SPECTYPE"),
        ({"hdu": "SOMETHING"}, "no table REDSHIFTS or ZBEST"),
    ],
)
def test_bad_files_get_a_sentence(tmp_path, change, sentence):
    columns = {"TARGETID": [5, 6], "Z": [1.0, 2.0], "ZWARN": [0, 0], "SPECTYPE": [b"QSO", b"QSO"]}
    hdu = change.pop("hdu", "REDSHIFTS")
    columns = {n: np.array(v) for n, v in (columns | change).items() if v is not None}
    path = tmp_path / "redrock-a.fits"
    fitsio.write(str(path), list(columns.values()), names=list(columns), extname=hdu)
    with pytest.raises(InputError, match=sentence):
        read_redrock(RedrockFiles(path))
