"""The keys of ``data`` that choose among labelled spectra, as a job sees them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from qnal.config.validation import validated
from qnal.ensemble.labelled_set import LabelledSet
from qnal.errors import ConfigError
from qnal.spectra.grid import named_grid
from qnal.stages.inputs import labelled_set

FIRST = 39633559463397282
Labelled = Callable[..., LabelledSet]


@pytest.fixture
def labelled(
    tmp_path: Path, coadd_parts: Callable[..., Any], composed: Callable[..., DictConfig]
) -> Labelled:
    """The labelled set of a job on three exposures of five targets, with overrides."""
    for exposure in (5, 6, 7):
        parts = coadd_parts(rows=5, seed=exposure)
        parts.write(tmp_path / "tree" / f"coadd-0-80605-exp{exposure:08d}.fits")
    header = "TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n"
    (tmp_path / "a.csv").write_text(header + f"{FIRST},1,4,QSO\n{FIRST + 1},1,4,QSO\n")
    (tmp_path / "b.csv").write_text(header + f"{FIRST + 2},1,4,QSO\n{FIRST + 3},1,1,QSO\n")

    def make(*overrides: str) -> LabelledSet:
        raw = composed(
            "stage=train",
            f"data.desi.spectra={tmp_path}/tree",
            f"data.desi.truth={tmp_path}/?.csv",
            *overrides,
        )
        return labelled_set(validated(raw), named_grid("log"))

    return make


def boss(mock_data: Path) -> list[str]:
    folder = mock_data / "boss"
    return [
        f"data.boss.spectra={folder}/dr12_train.fits.gz",
        f"data.boss.truth={folder}/truth_dr12q.fits.gz",
    ]


def test_single_exposure_takes_one_of_each_target(labelled: Labelled) -> None:
    assert len(labelled()) == 12
    one = labelled("data.desi.single_exposure=true")
    assert one.column("TARGETID").tolist() == [FIRST + k for k in range(4)]
    again = labelled("data.desi.single_exposure=true")
    assert one.column("EXPID").tolist() == again.column("EXPID").tolist()
    drawn = {
        tuple(labelled("data.desi.single_exposure=true", f"seed={s}").column("EXPID"))
        for s in range(5)
    }
    assert len(drawn) > 1


def test_boss_is_thinned_only_if_it_outnumbers_desi(labelled: Labelled, mock_data: Path) -> None:
    few = labelled(*boss(mock_data), "data.boss.most=20")
    assert few.column("SOURCE").tolist() == ["boss"] * 20 + ["desi"] * 12
    whole = labelled(*boss(mock_data))
    assert len(whole) == 34 + 12
    # What is drawn of BOSS does not change what is drawn of DESI.
    keys = [*boss(mock_data), "data.desi.single_exposure=true"]
    other = labelled(*keys, "data.boss.most=20")
    alone = labelled("data.desi.single_exposure=true")
    assert other.column("EXPID")[-4:].tolist() == alone.column("EXPID").tolist()


def test_bad_labels_are_kept_or_dropped(labelled: Labelled) -> None:
    kept, dropped = labelled("data.bad=negative"), labelled("data.bad=drop")
    assert (len(kept), len(dropped)) == (12, 9)
    assert dropped.counts["desi_bad_left_out"] == 3


def test_bal_recorded_holds_for_all_or_some_tables(labelled: Labelled, tmp_path: Path) -> None:
    def bal(value: str) -> list[int]:
        chosen = labelled("data.desi.single_exposure=true", f"data.desi.bal_recorded={value}")
        return [int(b) for b in chosen.column("BAL")]

    assert bal("false") == [0, 0, 0, 0]
    assert bal("true") == [-1, -1, -1, 0]
    assert bal(f"{tmp_path}/b.csv") == [0, 0, -1, 0]
    (tmp_path / "other.csv").touch()
    with pytest.raises(ConfigError, match=r"other\.csv is not one of data\.desi\.truth"):
        bal(f"{tmp_path}/other.csv")


def test_modes_and_limits_are_checked(labelled: Labelled) -> None:
    with pytest.raises(ConfigError, match=r"data\.bad=ignore: .*negative, drop"):
        labelled("data.bad=ignore")
    with pytest.raises(ConfigError, match=r"data\.boss\.most=0 cannot be used"):
        labelled("data.boss.most=0")
