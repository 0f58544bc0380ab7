"""data=desi_release: coadds, Redrock's results and labelled spectra in DESI's own layout."""

from pathlib import Path

import fitsio
import numpy as np
import pandas as pd
import pytest

from qnal.errors import ConfigError, InputError
from qnal.spectra.readers.desi.release import release_folders

ROWS = 30


@pytest.fixture(scope="module")
def root(tmp_path_factory, coadd_parts):
    """A tree with two pixels of each of two layouts, and a tile with two nights."""
    root = tmp_path_factory.mktemp("edr") / "spectro" / "redux"
    rng = np.random.default_rng(0)
    folders = {
        "fuji/healpix/sv1/dark/99/9968": "coadd-sv1-dark-9968.fits",
        "fuji/healpix/sv1/dark/270/27002": "coadd-sv1-dark-27002.fits",
        "fuji/healpix/sv1/bright/99/9968": "coadd-sv1-bright-9968.fits",
        "fuji/tiles/cumulative/80605/20201215": "coadd-0-80605-thru20201215.fits",
        "fuji/tiles/cumulative/80605/20210205": "coadd-0-80605-thru20210205.fits",
        f"loa/spectra/main/dark/{(5 + 16384) // 100}/{5 + 16384}": "coadd-main-dark-16389.fits",
    }
    for k, (folder, name) in enumerate(folders.items()):
        targetid = 1000 * (k + 1) + np.arange(ROWS)
        bits = np.where(rng.random(ROWS) < 0.5, 4, 1)
        parts = coadd_parts(ROWS, seed=k, TARGETID=targetid, OBJTYPE=["TGT"] * ROWS,
                            SV1_DESI_TARGET=bits)  # fmt: skip
        parts.write(root / folder / name)
        kinds = [("TARGETID", "i8"), ("Z", "f8"), ("ZWARN", "i8"), ("SPECTYPE", "S6")]
        found = np.zeros(ROWS, kinds)
        found["TARGETID"], found["Z"], found["SPECTYPE"] = targetid, 1.5, b"QSO"
        redrock = root / folder / name.replace("coadd", "redrock")
        fitsio.write(str(redrock), found, extname="REDSHIFTS")
    return root


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["healpix/sv1/dark"]),
        ({"program": "bright"}, ["healpix/sv1/bright"]),
        ({"pixels": [27002]}, ["healpix/sv1/dark/270/27002"]),
        ({"tiles": [80605]}, ["tiles/cumulative/80605/20210205"]),  # the last night has all
        (
            {"production": "loa", "survey": "main", "pixels": [5]},
            ["spectra/main/dark/163/16389"],
        ),
    ],
    ids=str,
)
def test_folders(root, given, expected):
    given = {"production": "fuji", "survey": "sv1", "program": "dark"} | given
    found = [p.relative_to(root / given["production"]) for p in release_folders(root, **given)]
    assert [p.as_posix() for p in found] == expected


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"production": "iron"}, "iron: there is no such production"),
        ({"survey": "sv9"}, "has neither healpix/sv9/dark nor spectra/sv9/dark"),
        ({"pixels": [3]}, "0/3: there is no such pixel"),
        ({"tiles": [3]}, "there is no such tile, or it has no nights"),
    ],
)
def test_what_is_not_there(root, given, sentence):
    with pytest.raises(InputError, match=sentence):
        release_folders(root, **{"production": "fuji", "survey": "sv1", "program": "dark"} | given)
    with pytest.raises(ConfigError, match="tiles or pixels, not both"):
        release_folders(root, "fuji", "sv1", "dark", [80605], [3])


def test_infer_on_a_release(root, qnal_job, mock_data, tmp_path):
    given = [
        "data=desi_release", f"ensemble.path={mock_data / 'quasarnet' / 'test_weights.h5'}",
        "infer=numpy", "executor=serial", "tracking=none", f"work_dir={tmp_path}", "stage=infer",
        "infer.where=\"has_bit(DESI_TARGET, 'QSO')\"",
    ]  # fmt: skip
    code, summary = qnal_job(tmp_path / "job", *given, f"data.release.root={root}")
    assert code == 0, summary
    assert summary["metrics"]["files"] == summary["metrics"]["redrock_files"] == 2
    table = pd.read_parquet(Path(summary["paths"]["scores"]) / "parts")
    assert set(table["HPXPIXEL"]) == {9968, 27002}
    assert set(table["DESI_TARGET"]) == {4}
    assert (table["Z_RR"] == 1.5).all()
    assert summary["metrics"]["left_out"] == 2 * ROWS - len(table)
    code, summary = qnal_job(tmp_path / "no root", *given)
    assert code == 1
    assert summary["error"].startswith("data.release.root is not set")


def test_labelled_spectra_of_a_release(root, composed, tmp_path):
    from qnal.job import checked
    from qnal.spectra.grid import named_grid
    from qnal.stages.inputs import labelled_set, with_survey

    truth = tmp_path / "vi.csv"
    truth.write_text("TARGETID,VI_Z,VI_QUALITY,VI_SPECTYPE\n1003,2.5,4,QSO\n2007,0,4,STAR\n")
    given = ["stage=train", "data=desi_release", f"data.release.root={root}",
             f"data.desi.truth={truth}"]  # fmt: skip
    labelled = labelled_set(with_survey(checked(composed(*given))), named_grid("log"))
    assert labelled.column("TARGETID").tolist() == [1003, 2007]
    where = "train.where=\"has_bit(DESI_TARGET, 'QSO') AND TARGETID = 1003\""
    some = labelled_set(with_survey(checked(composed(*given, where))), named_grid("log"))
    assert set(some.column("TARGETID")) <= {1003}


def test_labelled_spectra_of_another_survey(composed, tmp_path):
    """data.labelled is read by the reader of the pool, data.desi by that of DESI."""
    from qnal.job import checked
    from qnal.spectra.grid import named_grid
    from qnal.stages.inputs import labelled_set
    from tests.spectra.readers.survey_files import SameSpectra

    same = SameSpectra.make()
    for name, write in (("sdss", same.sdss), ("desi", same.coadd)):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    rows = "".join(f"{t},2.5,4,QSO\n" for t in same.targetid)
    (tmp_path / "vi.csv").write_text("TARGETID,VI_Z,VI_QUALITY,VI_SPECTYPE\n" + rows)
    found = {}
    for source, reader in (("labelled", "sdss"), ("desi", "sdss"), ("desi", "desi")):
        folder = tmp_path / ("desi" if source == "desi" else reader)
        config = composed("stage=train", f"reader={reader}", f"data.{source}.spectra={folder}",
                          f"data.{source}.truth={tmp_path / 'vi.csv'}")  # fmt: skip
        found[source, reader] = labelled_set(checked(config), named_grid("log"))
    for (source, _), labelled in found.items():
        assert labelled.column("TARGETID").tolist() == same.targetid.tolist()
        assert set(labelled.column("SOURCE")) == {source}
        np.testing.assert_allclose(labelled.x, found["desi", "desi"].x, atol=2e-5)
