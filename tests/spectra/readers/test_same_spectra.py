"""The same spectra read from files of different surveys."""

from pathlib import Path

import numpy as np
import pytest

import qnal
from qnal.spectra.grid import named_grid
from qnal.spectra.object_names import targetid_of
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.phase3 import Phase3
from qnal.spectra.readers.reader import Reader
from qnal.spectra.readers.sdss import Sdss
from qnal.spectra.readers.table import Table
from qnal.spectra.spectra_file import SpectraFile
from tests.spectra.readers.survey_files import LOGLAM, SameSpectra

LOG = named_grid("log")
PARQUET = Table(wave_unit="nm")
HDF5 = Table(
    flux="spectra/flux", ivar=None, error="spectra/sigma", wave=[float(LOGLAM[0]), 1e-4],
    wave_unit="log10(AA)", flux_unit="erg / (s cm2 AA)", targetid=None, name="names",
)  # fmt: skip

Files = dict[str, tuple[Reader, list[SpectraFile]]]


@pytest.fixture(scope="module")
def same() -> SameSpectra:
    return SameSpectra.make()


@pytest.fixture(scope="module")
def files(same: SameSpectra, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("surveys")
    return {
        "desi": (Desi(), [same.coadd(folder)]),
        "sdss": (Sdss(), same.sdss(folder)),
        "phase3": (Phase3(prefix="l1-"), same.phase3(folder)),
        "parquet": (PARQUET, [same.parquet(folder)]),
        "hdf5": (HDF5, [same.hdf5(folder)]),
    }


@pytest.mark.parametrize("name", ["sdss", "phase3", "parquet", "hdf5"])
def test_rebinned_spectra_are_those_of_the_coadd(files: Files, name: str) -> None:
    desi, (coadd,) = files["desi"]
    expected = desi.read(coadd, LOG)
    reader, mine = files[name]
    read = [reader.read(file, LOG) for file in mine]
    np.testing.assert_allclose(np.concatenate([r.x for r in read]), expected.x, rtol=0, atol=1e-6)
    assert {s for r in read for s in r.table["STATUS"].to_pylist()} == {"ok"}
    assert {c for r in read for c in r.table["CAMERAS"].to_pylist()} == {1}
    assert "SNR_SPEC" in read[0].table.column_names


@pytest.mark.parametrize("name", ["sdss", "phase3", "parquet", "hdf5"])
def test_files_are_found(files: Files, name: str) -> None:
    reader, mine = files[name]
    assert set(mine) <= set(reader.find(str(mine[0].path.parent), "data.pool"))


def test_predictions_are_those_of_the_coadd(files: Files, mock_data: Path) -> None:
    ensemble = qnal.load_ensemble(mock_data / "quasarnet" / "test_weights.h5", backend="numpy")
    columns = ["Z", "C_NOT", "P_NOT", "C_LYA", "Z_LYA", "C_CIV", "ENTROPY"]
    scored = {
        name: np.concatenate(
            [
                ensemble.score(file.path, reader=reader, pandas=True)[columns].to_numpy(float)
                for file in mine
            ]
        )
        for name, (reader, mine) in files.items()
    }
    assert np.isfinite(scored["desi"]).all()
    for name, values in scored.items():
        # Measured: 6e-7; a step of the 16 bits in which predictions are stored is 1.5e-5.
        np.testing.assert_allclose(values, scored["desi"], rtol=2e-5, atol=2e-5, err_msg=name)


def test_identities(same: SameSpectra, files: Files) -> None:
    def table(name: str) -> dict[str, list]:
        reader, mine = files[name]
        return reader.read(mine[0], LOG).table.to_pydict()

    sdss = table("sdss")
    assert sdss["TARGETID"] == [same.targetid[0]]
    assert sdss["OBJECT"] == [None]
    assert (sdss["TILEID"], sdss["FIBER"], sdss["NIGHT"]) == ([3586], [1], [20091216])
    assert (sdss["FLUX_G"], sdss["FLUX_Z"], sdss["OBJTYPE"]) == ([1], [4], ["TGT"])
    phase3 = table("phase3")
    assert phase3["OBJECT"] == ["4MOST J0"]
    assert phase3["TARGETID"] == [targetid_of("4MOST J0")]
    assert (phase3["NIGHT"], phase3["TARGET_DEC"]) == ([20200531], [2.5])
    assert table("parquet")["TARGETID"] == same.targetid.tolist()
    assert "OBJECT" not in table("parquet")
    assert table("hdf5")["OBJECT"][0] == f"mock {same.targetid[0]}"
