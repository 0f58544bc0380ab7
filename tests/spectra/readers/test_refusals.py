"""What readers refuse, in one sentence that names the file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fitsio
import h5py
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
from qnal.spectra.readers.reader import ArrayArm, OpenSpectra, Reader
from qnal.spectra.readers.sdss import Sdss
from qnal.spectra.readers.table import Table
from qnal.spectra.spectra_file import SpectraFile
from qnal.spectra.units import flux_scale, in_vacuum, wavelengths
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
        ({"flux_unit": "foo"}, r"reader\.flux_unit=foo is not a unit; it takes one such as"),
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


def hdf5(folder: Path, **changed: object) -> SpectraFile:
    """A table of four spectra, with some datasets replaced."""
    wave = np.linspace(3600.0, 9800.0, 500)
    ones = np.ones((4, len(wave)), np.float32)
    datasets = {"TARGETID": np.arange(4), "wave": wave, "flux": ones, "ivar": ones} | changed
    with h5py.File(folder / "a.h5", "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return SpectraFile("a.h5", folder / "a.h5")


def test_datasets_of_different_numbers_of_rows(tmp_path: Path) -> None:
    reader = Table(wave_unit="AA")
    ones = np.ones((6, 500), np.float32)
    refused(reader, hdf5(tmp_path, flux=ones, ivar=ones), "flux has 6 rows and TARGETID 4")
    refused(reader, hdf5(tmp_path, ivar=ones[:2]), "ivar has 2 rows and TARGETID 4")
    assert len(reader.read(hdf5(tmp_path), LOG).table) == 4


def test_wavelengths_in_another_unit_than_stated(tmp_path: Path) -> None:
    wave = np.linspace(360.0, 980.0, 500)
    refused(Table(wave_unit="AA"), hdf5(tmp_path, wave=wave), "from 360 to 980 Å, .* check their")
    assert len(Table(wave_unit="nm").read(hdf5(tmp_path, wave=wave), LOG).table) == 4


@pytest.mark.parametrize("wave", [[3600.0], [3600.0, 0.8, 1.0], ["a", "b"]])
def test_the_two_numbers_of_wavelengths(wave: list) -> None:
    with pytest.raises(ConfigError, match=r"reader\.wave=\[.* two numbers"):
        Table(wave=wave).check()


def test_arrays_of_another_shape(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1")
    wave = np.linspace(3600.0, 9800.0, 500)

    class Flat(Table):
        @contextmanager
        def open(self, file: SpectraFile) -> Iterator[OpenSpectra]:
            arm = ArrayArm("SPEC", wave, np.ones(500), np.ones(500))
            yield OpenSpectra({"TARGETID": np.array([1])}, [arm])

    file = SpectraFile("a.txt", tmp_path / "a.txt")
    refused(Flat(), file, r"flux of arm SPEC has shape \(1,\) instead of \(1, 500\)")


def test_units_with_several_slashes_give_no_warning() -> None:
    assert flux_scale("erg/s/cm2/AA") == pytest.approx(1e17)


def test_fluxes_in_counts_are_not_scaled() -> None:
    Table(flux_unit="adu").check()
    assert flux_scale("adu") == flux_scale(None) == 1
