"""experiments/template_survey.py: what goes in comes out where the redshift says."""

import runpy
import sys
from pathlib import Path

import fitsio
import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.read_labelled import read_labelled
from qnal.labels.label import Label
from qnal.spectra.grid import named_grid
from qnal.spectra.readers.desi import find_coadds

SCRIPT = Path(__file__).parents[1] / "experiments" / "template_survey.py"
LINE = 1549.0  # Å


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """A bright survey from made-up archetypes: quasars are a flat continuum with one line."""
    root = tmp_path_factory.mktemp("templates")
    loglam = np.arange(2.6, 4.2, 1e-4)
    for kind in ("galaxy", "qso", "star"):
        flux = np.ones((2, len(loglam)))
        if kind == "qso":
            flux += 30 * np.exp(-0.5 * ((10**loglam - LINE) / 8) ** 2)
        rows = np.zeros(2, [("ARCHETYPE", "f8", len(loglam)), ("SUBTYPE", "S4")])
        rows["ARCHETYPE"] = flux
        header = {"CRVAL1": loglam[0], "CDELT1": 1e-4, "LOGLAM": True, "RRTYPE": kind.upper()}
        fitsio.write(
            str(root / f"rrarchetype-{kind}.fits"), rows, extname="ARCHETYPES", header=header
        )
    names = runpy.run_path(str(SCRIPT))
    with fitsio.FITS(str(root / "coadd-0-1-exp00000001.fits"), "rw") as out:
        for camera, (_, pixels) in names["CAMERAS"].items():
            out.write(np.full((3, pixels), 4.0, "f4"), extname=f"{camera}_IVAR")
    given = [str(SCRIPT), str(root / "out"), "--archetypes", str(root), "--coadds", str(root)]
    given += ["--targets", "60", "--mag", "19", "0.1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", given)
        names["main"]()
    return root / "out"


def test_qnal_reads_it(survey):
    grid = named_grid("log")
    files = find_coadds(str(survey / "labelled"), "x")
    found = read_labelled(files, [survey / "labelled.csv"], grid, high_z=2.1)
    assert len(found) == 120 and not (found.column("LABEL") == Label.BAD).any()
    truth = pd.read_csv(survey / "truth.csv").set_index("TARGETID").loc[found.column("TARGETID")]
    np.testing.assert_allclose(found.column("Z"), truth["Z"])
    z = truth["Z"].to_numpy()
    observed = LINE * (1 + z)
    inside = (truth["SPECTYPE"] == "QSO").to_numpy() & (observed > 3800) & (observed < 9500)
    assert inside.sum() > 10
    peak = found.x[inside].argmax(axis=1)
    np.testing.assert_allclose(peak, grid.position(observed[inside]), atol=1.5)


def test_the_same_seed_gives_the_same_targets(survey):
    truth = pd.read_csv(survey / "truth.csv")
    assert truth["TARGETID"].is_unique
    assert set(truth["SPECTYPE"]) == {"GALAXY", "QSO", "STAR"}
    assert truth["MAG"].mean() == pytest.approx(19, abs=0.05)
