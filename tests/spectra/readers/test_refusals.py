"""What readers refuse, in one sentence that names the file."""

from collections.abc import Callable
from pathlib import Path

import fitsio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qnal.errors import ConfigError, InputError
from qnal.spectra import object_names
from qnal.spectra.grid import named_grid
from qnal.spectra.object_names import targetid_of, targetids_of
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.phase3 import Phase3
from qnal.spectra.readers.reader import Reader
from qnal.spectra.readers.sdss import Sdss
from qnal.spectra.readers.table import Table
from qnal.spectra.spectra_file import SpectraFile
from qnal.spectra.units import in_vacuum, wavelengths
from tests.spectra.readers.survey_files import WAVE, SameSpectra

LOG = named_grid("log")


def refused(reader: Reader, file: SpectraFile, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as raised:
        reader.read(file, LOG)
    assert str(file.path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"unit": None}, "WAVE: the wavelengths have no unit"),
        ({"unit": "Jy"}, "have the unit 'Jy'; a unit of length"),
        ({"error": "SIGMA"}, "has no errors"),
    ],
)
def test_phase3(tmp_path: Path, changed: dict, sentence: str) -> None:
    (file,) = SameSpectra.make(rows=1).phase3(tmp_path, **changed)
    refused(Phase3(), file, sentence)


def test_phase3_identity(tmp_path: Path) -> None:
    (file,) = SameSpectra.make(rows=1).phase3(tmp_path, error="ERR", hdu="SPECTRUM")
    assert Phase3().read(file, LOG).table["OBJECT"].to_pylist() == ["4MOST J0"]
    refused(Phase3(name="CNAME"), file, "its header has no CNAME")
    refused(Phase3(targetid="OBJECT"), file, "no integer OBJECT")


def test_two_rows_are_no_phase3_spectrum(tmp_path: Path) -> None:
    table = np.zeros(2, [("WAVE", "f8", 3), ("FLUX", "f4", 3), ("ERR", "f4", 3)])
    fitsio.write(str(tmp_path / "a.fits"), table, extname="SPECTRUM", units=["nm", "", ""])
    refused(Phase3(), SpectraFile("a.fits", tmp_path / "a.fits"), "more than one row")


def test_a_coadd_without_ivar(tmp_path: Path, coadd_parts: Callable) -> None:
    parts = coadd_parts()
    parts.hdus["R_IVAR"] = None
    refused(Desi(), parts.write(tmp_path / "coadd-a.fits"), "no R_IVAR")


def table_file(folder: Path, **columns: object) -> SpectraFile:
    rows = 3
    given = {
        "TARGETID": np.arange(rows),
        "flux": list(np.ones((rows, len(WAVE)), np.float32)),
        "ivar": list(np.ones((rows, len(WAVE)), np.float32)),
        "wave": [WAVE] * rows,
    } | columns
    pq.write_table(
        pa.table({k: v for k, v in given.items() if v is not None}), folder / "a.parquet"
    )
    return SpectraFile("a.parquet", folder / "a.parquet")


@pytest.mark.parametrize(
    ("columns", "settings", "sentence"),
    [
        ({"flux": None}, {}, "it has no flux; it has TARGETID, ivar, wave"),
        ({"flux": [WAVE, WAVE, WAVE[:9]]}, {}, "flux differ in length"),
        ({"wave": [WAVE, WAVE, WAVE + 1]}, {}, "wave differs between rows"),
        ({"ivar": [WAVE[:9]] * 3}, {}, "ivar has .9,. pixels per row instead of 4300"),
        ({"TARGETID": [0.5, 1.5, 2.5]}, {}, "column TARGETID has type float64"),
        ({"flux": [1.0, 2.0, 3.0]}, {}, "flux does not hold an array in every row"),
        ({}, {"wave_unit": None}, "the wavelengths have no unit"),
        ({}, {"wave": [3.5, 1e-4], "wave_unit": "s"}, "have the unit 's'"),
        ({}, {"columns": {"TARGET_RA": "ra"}}, "it has no ra"),
        ({"who": ["a", " ", "c"]}, {"targetid": None, "name": "who"}, "row 1 has no object name"),
    ],
    ids=str,
)
def test_tables(tmp_path: Path, columns: dict, settings: dict, sentence: str) -> None:
    refused(Table(**{"wave_unit": "AA"} | settings), table_file(tmp_path, **columns), sentence)


def test_a_damaged_table(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.h5"):
        (tmp_path / name).write_bytes(b"PAR1")
        refused(Table(wave_unit="AA"), SpectraFile(name, tmp_path / name), "not a readable table")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"error": "sigma"}, "either ivar or error"),
        ({"targetid": None}, "targetid or name"),
        ({"columns": {"CAMERAS": "c"}}, "columns.CAMERAS is none of TILEID"),
    ],
)
def test_settings_of_tables(settings: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Table(**settings).check()


def test_names_are_hashed_and_collisions_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SHA-256 of "a" begins with ca978112ca1bbdca.
    assert targetid_of(" a ") == 0xCA978112CA1BBDCA & (2**63 - 1)
    assert targetids_of(["a", "b", "a"], tmp_path).tolist()[::2] == [targetid_of("a")] * 2
    monkeypatch.setattr(object_names, "targetid_of", lambda name: 7)
    with pytest.raises(InputError, match="objects a and b have the same TARGETID 7"):
        targetids_of(["a", "b"], tmp_path)


def test_wavelengths() -> None:
    assert wavelengths(np.array([0.5, 0.6]), "um", "x").tolist() == pytest.approx([5000, 6000])
    assert wavelengths(np.array([500.0, 600]), "nm", "x").tolist() == pytest.approx([5000, 6000])
    assert wavelengths(np.array([3.0, 4.0]), "log10(AA)", "x").tolist() == [1000, 10000]
    with pytest.raises(InputError, match="not a list of increasing wavelengths"):
        wavelengths(np.array([2.0, 1.0]), "nm", "x")
    # Hα and [O III], NIST
    np.testing.assert_allclose(
        in_vacuum(np.array([6562.79, 5006.843])), [6564.60, 5008.240], atol=6e-3
    )


def test_sdss_names(tmp_path: Path) -> None:
    """Without THING_ID the name of the spectrum identifies it; SDSS-V has CATALOGIDs."""
    file = SameSpectra.make(rows=1).sdss(tmp_path)[0]
    with fitsio.FITS(str(file.path), "rw") as out:
        out["SPALL"].write_column("THING_ID", np.array([-1], "i4"))
    table = Sdss().read(file, LOG).table
    assert table["OBJECT"].to_pylist() == ["3586-55181-1"]
    assert table["TARGETID"].to_pylist() == [targetid_of("3586-55181-1")]
    pixels = fitsio.read(str(file.path), "COADD")
    path = tmp_path / "spec-101077-59845-27021598054114233.fits"
    with fitsio.FITS(str(path), "rw") as out:
        out.write(None)
        out.write(pixels, extname="COADD")
        identity = np.array([(27021598054114233,)], [("CATALOGID", "i8")])
        out.write(identity, extname="SPALL")
    table = Sdss().read(SpectraFile(path.name, path), LOG).table
    assert table["TARGETID"].to_pylist() == [27021598054114233]
    assert table["TILEID"].to_pylist() == [101077]
    assert table["FIBER"].to_pylist() == [None]


def test_spectra_of_single_exposures(tmp_path: Path, coadd_parts: Callable) -> None:
    parts = coadd_parts(TARGETID=[7, 7, 8], EXPID=[1, 2, 1], FIBERSTATUS=[0, 4, 0])
    parts.write(tmp_path / "spectra-sv1-dark-101.fits")
    parts.write(tmp_path / "coadd-sv1-dark-101.fits")
    reader = Desi(prefix="spectra-")
    (file,) = reader.find(str(tmp_path), "data.pool")
    table = reader.read(file, LOG).table.to_pydict()
    assert (table["EXPID"], table["COADD_FIBERSTATUS"]) == ([1, 2, 1], [0, 4, 0])
    assert (table["SURVEY"][0], table["HPXPIXEL"][0]) == ("sv1", 101)
    assert Desi().key() == {} != reader.key()
