"""A file that only specutils knows how to read."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.table import QTable

from qnal.errors import ConfigError, InputError
from qnal.spectra.grid import named_grid
from qnal.spectra.mock import MockConfig, write_survey
from qnal.spectra.object_names import targetid_of
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.phase3 import Phase3
from qnal.spectra.readers.sdss import Sdss
from qnal.spectra.readers.specutils import Specutils
from qnal.spectra.spectra_file import SpectraFile
from tests.spectra.readers.survey_files import WAVE, SameSpectra

LOG = named_grid("log")
needs_specutils = pytest.mark.skipif(find_spec("specutils") is None, reason="no specutils here")


@pytest.fixture
def same() -> SameSpectra:
    return SameSpectra.make(rows=1)


@pytest.fixture
def file(tmp_path: Path, same: SameSpectra) -> SpectraFile:
    """specutils' own format ``tabular-fits``: a table with one row per pixel, in nm."""
    flux = 1e-17 * units.erg / units.s / units.cm**2 / units.AA
    with np.errstate(divide="ignore"):
        sigma = same.ivar[0].astype(float) ** -0.5
    table = QTable(
        {
            "wavelength": WAVE / 10 * units.nm,
            "flux": same.flux[0].astype(float) * flux,
            "uncertainty": sigma * flux,
        }
    )
    path = tmp_path / "J0000.fits"
    table.write(path)
    return SpectraFile(path.name, path)


@needs_specutils
@pytest.mark.filterwarnings("ignore")  # of specutils
def test_spectra_are_those_of_a_coadd(file: SpectraFile, same: SameSpectra, tmp_path: Path) -> None:
    reader = Specutils("tabular-fits")
    assert reader.find(str(file.path), "data.pool") == [file]
    read = reader.read(file, LOG)
    np.testing.assert_allclose(read.x, Desi().read(same.coadd(tmp_path), LOG).x, atol=2e-5)
    assert read.table["OBJECT"].to_pylist() == ["J0000"]
    assert read.table["TARGETID"].to_pylist() == [targetid_of("J0000")]
    for other in (Desi(), Sdss(), Phase3()):
        with pytest.raises(InputError):
            other.read(file, LOG)
    with pytest.raises(InputError, match="specutils cannot read it as JWST x1d"):
        Specutils("JWST x1d").read(file, LOG)
    with pytest.raises(InputError, match=r"reader\.item=4 does not exist; the file has 1 spectra"):
        Specutils("tabular-fits", item=4).read(file, LOG)


@pytest.mark.skipif(find_spec("specutils") is not None, reason="specutils is installed")
def test_without_specutils() -> None:
    with pytest.raises(ConfigError, match=r"pip install qnal\[specutils\]"):
        Specutils("tabular-fits").find("nowhere", "data.pool")


@needs_specutils
@pytest.mark.filterwarnings("ignore")  # of specutils
def test_coadds_of_the_mock_survey(tmp_path: Path) -> None:
    """specutils reads them as it reads DESI's; one of its three spectra is an arm of all rows."""
    survey = write_survey(MockConfig(labelled=0, boss=0, pool=6, fibres=3, petals=1), tmp_path)
    (coadd, *_) = Desi().find(str(survey.pool), "data.pool")
    ours, read = Desi().read(coadd, LOG), Specutils("DESI coadd", item=1).read(coadd, LOG)
    assert len(read.x) == len(ours.x)
    snr = [
        np.asarray(t["SNR_R" if t is ours.table else "SNR_SPEC"]) for t in (ours.table, read.table)
    ]
    np.testing.assert_allclose(snr[0], snr[1], rtol=0.05)
