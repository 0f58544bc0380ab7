"""Counts of redshifts, pile-ups and the page on them, for a pool made by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qnal.errors import InputError
from qnal.lines import QUASARNET_LINES
from qnal.scores.dataset import ScoresFolder
from qnal.scores.pile_ups import coincidences, pile_ups
from qnal.scores.redshift_counts import redshift_counts
from qnal.scores.redshift_report import redshift_pages, redshift_tables

N = 6000


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Quasars with a smooth N(z), 200 of them at z = 3.75; galaxies; sky."""
    rng = np.random.default_rng(3)
    z = rng.gamma(4, 0.45, N).clip(0.05, 4.5).astype(np.float32)
    quasar, sky = rng.random(N) < 0.6, rng.random(N) < 0.1
    quasar[:200], sky[:200] = True, False
    z[:200] = 3.75
    spectype = np.where(quasar, "QSO", "GALAXY")
    z_rr = z.astype(float)
    spectype[200:300], z_rr[200:300] = "GALAXY", 1.62
    columns = {
        "TARGETID": np.arange(N),
        "STATUS": np.where(np.arange(N) == N - 1, "no_signal", "ok"),
        "OBJTYPE": np.where(sky, "SKY", "TGT"),
        "NIGHT": np.where(np.arange(N) % 2, 20210101, 20210102),
        "PETAL_LOC": np.arange(N) % 10,
        "C_NOT": np.where(quasar, 0.0, 1.0),
        "C_QSO_LZ": np.where(quasar & (z < 2.1), 1.0, 0.0),
        "C_QSO_HZ": np.where(quasar & (z >= 2.1), 1.0, 0.0),
        "Z": z,
        "Z_RR": z_rr,
        "SPECTYPE_RR": spectype,
    }
    table = pa.table(columns)
    root = tmp_path_factory.mktemp("work") / "scores" / "x"
    (root / "parts").mkdir(parents=True)
    for k in range(2):
        pq.write_table(table.slice(k * N // 2, N // 2), root / "parts" / f"{k}.parquet")
    return ScoresFolder(root), table.to_pandas()


def test_counts_add_up(pool):
    folder, rows = pool
    counts = redshift_counts(folder, ["0", "1"], True)
    usable = rows[rows["STATUS"] == "ok"]
    targets = usable[usable["OBJTYPE"] == "TGT"]
    assert counts.classes["n"].sum() == len(targets)
    assert counts.sky["spectra"].sum() == (usable["OBJTYPE"] == "SKY").sum()
    assert counts.histogram("ensemble").sum() == (targets["C_NOT"] < 0.5).sum()
    assert counts.histogram("redrock").sum() == (targets["SPECTYPE_RR"] == "QSO").sum()
    both = (targets["C_NOT"] < 0.5) & (targets["SPECTYPE_RR"] == "QSO")
    assert counts.dz["n"].sum() == both.sum() and counts.pairs["n"].sum() > both.sum()
    lost = counts.classes.set_index(["ensemble", "redrock"])["n"]
    expected = ((targets["C_QSO_LZ"] == 1) & (targets["SPECTYPE_RR"] == "GALAXY")).sum()
    assert lost["QSO_LZ", "GALAXY"] == expected


def test_a_pile_up_is_found_and_named(pool):
    found = pile_ups(redshift_counts(pool[0], ["0", "1"], True), QUASARNET_LINES)
    worst = found.sort_values("SIGMA").iloc[-1]
    assert worst["Z_LOW"] <= 3.75 <= worst["Z_HIGH"] + 1e-9 and worst["N"] >= 200
    assert worst["COINCIDES"] == "LYA where B and R join"
    assert len(found[found["SOURCE"] == "ensemble"]) <= 3
    assert coincidences(1.60, 1.62, QUASARNET_LINES) == "end of the galaxy templates"
    assert "LYA on the sky line at 5579 Å" in coincidences(3.58, 3.60, QUASARNET_LINES)


@pytest.mark.parametrize("redrock", [True, False])
def test_the_page(pool, tmp_path, redrock):
    counts = redshift_counts(pool[0], ["0", "1"], redrock)
    assert counts.has_redrock == redrock
    tables = redshift_tables(counts, QUASARNET_LINES)
    assert ("redrock_classes.csv" in tables) == redrock
    pages = dict(redshift_pages(counts, QUASARNET_LINES, 0.163))
    assert {p.name for p in pages} == {"redshifts.png"} | ({"redrock.png"} if redrock else set())
    for name, figure in pages.items():
        figure.savefig(tmp_path / name, dpi=50)


def test_an_empty_pool_and_a_damaged_part(tmp_path):
    folder = ScoresFolder(tmp_path / "work" / "scores" / "x")
    counts = redshift_counts(folder, [], False)
    assert len(pile_ups(counts, QUASARNET_LINES)) == 0
    for name, figure in redshift_pages(counts, QUASARNET_LINES, 0.163):
        figure.savefig(tmp_path / name, dpi=50)
    folder.parts.mkdir(parents=True)
    (folder.parts / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="its parts cannot be counted"):
        redshift_counts(folder, ["a"], False)
