"""Spectra of a label table: found by FILE and ROW, all exposures, and better than truth tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig

from qnal.config.validation import validated
from qnal.ensemble.labelled_set import LabelledSet
from qnal.errors import ConfigError, InputError
from qnal.labels.label import Label
from qnal.labels.label_table import LabelTable, sampling_design
from qnal.spectra.grid import named_grid
from qnal.stages.inputs import labelled_set

FIRST = 39633559463397282
Make = Callable[..., LabelledSet]


def rows(*labels: tuple[int, str, float, float], **columns: Any) -> pd.DataFrame:
    table = pd.DataFrame(labels, columns=["TARGETID", "SPECTYPE", "Z", "QUALITY"])
    table["TARGETID"] += FIRST
    files = [f"tiles/coadd-0-80605-exp0000000{e}.fits" for e in (5, 7)]
    given = {
        "ROUND": 1, "BAL": 0, "COMMENT": "", "INSPECTORS": "ann", "INSPECTIONS": 1, "TIME": "",
        "STRATEGY": None, "REASON": None, "CONTROL": False, "POPULATION": None, "CONTROLS": None,
        "WEIGHT": None, "SELECTION": "a", "POOL": "../pool", "FILE": files[0],
    }  # fmt: skip
    table = table.assign(**given)
    table["ROW"] = table["TARGETID"] - FIRST
    table["FILES"] = [files] * len(table)
    table["ROWS"] = [[int(r)] * 2 for r in table["ROW"]]
    return table.assign(**columns)


@pytest.fixture
def make(
    tmp_path: Path, coadd_parts: Callable[..., Any], composed: Callable[..., DictConfig]
) -> Make:
    """A labelled set from a pool of two exposures of five targets, and a label table."""
    for exposure in (5, 7):
        parts = coadd_parts(rows=5, seed=exposure, DESI_TARGET=np.full(5, 4))
        parts.write(tmp_path / "pool" / "tiles" / f"coadd-0-80605-exp{exposure:08d}.fits")

    def of(labels: pd.DataFrame, *overrides: str) -> LabelledSet:
        table = LabelTable(tmp_path / "labels" / "labels.parquet")
        table.extend(lambda _: labels)
        raw = composed("stage=train", f"data.labels={table.path}", *overrides)
        return labelled_set(validated(raw), named_grid("log"))

    return of


def names(labelled: LabelledSet) -> list[str]:
    return [Label(n).name for n in labelled.column("LABEL")]


def test_all_exposures_of_each_target(make: Make) -> None:
    labelled = make(rows((3, "QSO", 2.5, 4), (1, "STAR", 0, 4), (2, "QSO", 1, 1)))
    assert labelled.column("TARGETID").tolist() == [FIRST + k for k in (1, 1, 2, 2, 3, 3)]
    assert labelled.column("EXPID").tolist() == [5, 7] * 3
    assert names(labelled) == ["STAR"] * 2 + ["BAD"] * 2 + ["QSO_HZ"] * 2
    assert set(labelled.column("SOURCE")) == {"inspected"}
    assert set(labelled.column("DESI_TARGET")) == {4}
    assert labelled.counts["inspected_labelled"] == 6
    one = make(rows((3, "QSO", 2.5, 4)), "data.desi.single_exposure=true")
    assert one.column("TARGETID").tolist() == [FIRST + k for k in (1, 2, 3)]
    dropped = make(rows((3, "QSO", 2.5, 4)), "data.bad=drop")
    assert names(dropped) == ["STAR"] * 2 + ["QSO_HZ"] * 2


def test_labels_supersede_truth_tables(make: Make, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text(
        "TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n"
        f"{FIRST},1,4,QSO\n{FIRST + 1},1,4,QSO\n{FIRST + 2},1,4,QSO\n"
    )
    folder = tmp_path / "pool"
    desi = (f"data.desi.spectra={folder}/tiles/*5.fits", f"data.desi.truth={truth}")
    labelled = make(rows((1, "STAR", 0, 4), (2, "QSO", 1, 1)), *desi)
    # The desi spectra of exposure 5 are those of the pool, which are taken once.
    assert labelled.column("SOURCE").tolist() == ["desi"] + ["inspected"] * 4
    assert names(labelled) == ["QSO_LZ"] + ["STAR"] * 2 + ["BAD"] * 2
    assert labelled.counts["inspected_supersedes"] == 2
    assert labelled.counts["inspected_same_spectrum"] == 2


def test_other_spectra_of_a_truth_table_get_the_new_label(
    make: Make, tmp_path: Path, coadd_parts: Callable[..., Any]
) -> None:
    coadd_parts(rows=2, seed=99).write(tmp_path / "other" / "coadd-0-80605-exp00000009.fits")
    truth = tmp_path / "truth.csv"
    truth.write_text(f"TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n{FIRST},1,4,QSO\n{FIRST + 1},1,4,QSO\n")
    desi = (f"data.desi.spectra={tmp_path}/other", f"data.desi.truth={truth}")
    labelled = make(rows((1, "STAR", 0, 4)), *desi)
    assert names(labelled) == ["QSO_LZ", "STAR", "STAR", "STAR"]
    assert labelled.column("SOURCE").tolist() == ["desi"] * 2 + ["inspected"] * 2


def test_a_pool_that_changed_is_refused(
    make: Make, tmp_path: Path, coadd_parts: Callable[..., Any]
) -> None:
    (tmp_path / "x").mkdir()
    file = tmp_path / "pool" / "tiles" / "coadd-0-80605-exp00000005.fits"
    ids = FIRST + np.arange(5, dtype=np.int64)[::-1]
    coadd_parts(rows=5, TARGETID=ids).write(file)
    with pytest.raises(InputError, match=r"exp00000005\.fits: its rows are not the spectra"):
        make(rows((1, "STAR", 0, 4)))
    file.unlink()
    with pytest.raises(InputError, match=r"exp00000005\.fits: there is no such file"):
        make(rows((1, "STAR", 0, 4)))


def test_labels_without_spectra_are_refused(make: Make) -> None:
    with pytest.raises(InputError, match="it does not say where the spectra of target"):
        make(rows((1, "STAR", 0, 4), POOL=None))


def test_a_missing_table_is_named(composed: Callable[..., DictConfig]) -> None:
    raw = composed("stage=train", "data.labels=nowhere.parquet")
    with pytest.raises(ConfigError, match=r"data\.labels=nowhere\.parquet: there is no such file"):
        labelled_set(validated(raw), named_grid("log"))


def test_a_control_pick_remains_one() -> None:
    history = rows((1, "STAR", 0, 4), (1, "QSO", 2, 4), (2, "STAR", 0, 4)).assign(
        VERSION=[1, 2, 1], ROUND=[1, 3, 2], CONTROL=[True, False, False], POPULATION=[50, None, 7]
    )
    design = sampling_design(history)
    assert design["ROUND"].tolist() == [1, 2]
    assert design["CONTROL"].tolist() == [True, False]
