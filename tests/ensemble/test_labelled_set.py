"""Labelled set: joins, rows left out, random draws, and the order of rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.labelled_set import LabelledSet, class_counts, merged, one_exposure_each, thinned
from qnal.ensemble.read_labelled import read_boss, read_labelled
from qnal.errors import InputError
from qnal.labels.label import BadRows, Label, is_quasar
from qnal.spectra.grid import named_grid
from qnal.spectra.readers.desi import Desi, find_coadds
from qnal.spectra.row_condition import RowCondition

LOG = named_grid("log")
FIRST = 39633559463397282
Parts = Callable[..., Any]


@pytest.fixture
def survey(tmp_path: Path, coadd_parts: Parts) -> tuple[Path, Path]:
    """Two exposures of four targets, and a truth table for three of them."""
    for exposure in (7, 5):
        parts = coadd_parts(rows=4, seed=exposure)
        parts.write(tmp_path / "tree" / f"coadd-0-80605-exp{exposure:08d}.fits")
    truth = tmp_path / "truth.csv"
    truth.write_text(
        "TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n"
        f"{FIRST + 2},2.5,4,QSO\n{FIRST},0,4,STAR\n{FIRST + 1},1.5,1,QSO\n{FIRST + 99},1,4,QSO\n"
    )
    return tmp_path / "tree", truth


def desi(survey: tuple[Path, Path], **options: Any) -> LabelledSet:
    tree, truth = survey
    files = find_coadds(str(tree), "data.desi.spectra")
    return read_labelled(files, [truth], LOG, high_z=2.1, **options)


def test_rows_come_in_canonical_order_with_their_labels(survey: tuple[Path, Path]) -> None:
    labelled = desi(survey)
    assert labelled.column("TARGETID").tolist() == [FIRST + k for k in (0, 0, 1, 1, 2, 2)]
    assert labelled.column("EXPID").tolist() == [5, 7] * 3
    names = [Label(n).name for n in labelled.column("LABEL")]
    assert names == ["STAR", "STAR", "BAD", "BAD", "QSO_HZ", "QSO_HZ"]
    assert class_counts(labelled) == {
        **{"STAR": 2, "GALAXY": 0, "QSO_LZ": 0, "QSO_HZ": 2, "BAD": 2},
    }
    assert is_quasar(labelled.column("LABEL")).tolist() == [False] * 4 + [True] * 2
    counts = labelled.counts
    assert counts["desi_spectra"] == 8
    assert counts["desi_without_label"] == 2
    assert counts["desi_labelled"] == 6


def test_signal_to_noise_is_that_of_the_live_cameras(
    survey: tuple[Path, Path], coadd_parts: Parts
) -> None:
    path = survey[0] / "coadd-0-80605-exp00000005.fits"
    parts = coadd_parts(rows=4, seed=5)
    parts.hdus["Z_IVAR"][2] = 0
    parts.write(path)
    flux, ivar = (
        {c: fitsio.read(str(path), ext=f"{c}_{what}")[2].astype(float) for c in "BR"}
        for what in ("FLUX", "IVAR")
    )
    by_hand = np.mean([np.median(flux[c] * np.sqrt(ivar[c])) for c in "BR"])
    assert desi(survey).column("SNR")[4] == pytest.approx(by_hand, rel=1e-5)


def test_bad_rows_are_negatives_or_dropped(survey: tuple[Path, Path]) -> None:
    labelled = desi(survey, bad=BadRows.drop)
    assert set(labelled.column("TARGETID")) == {FIRST, FIRST + 2}
    assert labelled.counts["desi_bad_left_out"] == 2
    assert labelled.counts["desi_labelled"] == 4
    kept = desi(survey).subset(desi(survey).column("LABEL") != Label.BAD)
    assert np.array_equal(labelled.x, kept.x)
    survey[1].write_text(f"TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n{FIRST},0,1,STAR\n")
    with pytest.raises(InputError, match="these are left out"):
        desi(survey, bad=BadRows.drop)


def test_absurd_spectra_and_unusable_ones_are_counted(
    survey: tuple[Path, Path], coadd_parts: Parts
) -> None:
    parts = coadd_parts(rows=4)
    # A jump by 1e4 rms takes a bin with a tiny weight.
    parts.hdus["B_FLUX"][0, 100:103], parts.hdus["B_IVAR"][0, 100:103] = 1e9, 1e-12
    for camera in "BRZ":
        parts.hdus[f"{camera}_IVAR"][2] = 0
    parts.write(survey[0] / "coadd-0-80605-exp00000005.fits")
    labelled = desi(survey)
    assert labelled.counts["desi_absurd_jump"] == 1
    assert labelled.counts["desi_unusable"] == 1
    assert labelled.counts["desi_labelled"] == 4
    parts_of = ("unusable", "absurd_jump", "without_label", "labelled")
    assert sum(labelled.counts[f"desi_{k}"] for k in parts_of) == 8


def test_fingerprint_is_that_of_the_content(survey: tuple[Path, Path]) -> None:
    first = desi(survey).fingerprint()
    assert desi(survey).fingerprint() == first
    assert desi(survey, reader=Desi(use_mask=False)).fingerprint() == first  # no pixel is masked
    again = desi(survey)
    again.table["SNR"] += 1  # it follows from the spectra, so it is not part of the fingerprint
    assert again.fingerprint() == first
    survey[1].write_text(survey[1].read_text().replace(",2.5,4,QSO", ",2.6,4,QSO"))
    assert desi(survey).fingerprint() != first


def test_nothing_in_common_is_an_error(survey: tuple[Path, Path]) -> None:
    survey[1].write_text("TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n1,1,4,QSO\n")
    with pytest.raises(InputError, match=r"none of 8 spectra .* truth\.csv"):
        desi(survey)


def numbered(rows: int, targets: int) -> LabelledSet:
    table = pd.DataFrame({"SOURCE": "boss", "TARGETID": np.arange(rows) % targets})
    return LabelledSet(np.arange(rows, dtype=np.float32)[:, None], table)


def test_one_random_exposure_of_each_target() -> None:
    labelled = numbered(50, 10)
    drawn = [one_exposure_each(labelled, np.random.default_rng(s)) for s in range(300)]
    for one in drawn:
        assert sorted(one.column("TARGETID")) == list(range(10))
        assert one.counts == {"single_exposure_left_out": 40}
        assert np.array_equal(one.x[:, 0] % 10, one.column("TARGETID"))
        assert (np.diff(one.x[:, 0]) > 0).all()
    # Exposures are equally likely: 60 draws expected, with a standard deviation of 7.
    times = np.bincount(np.concatenate([one.x[:, 0] for one in drawn]).astype(int), minlength=50)
    assert 30 < times.min() <= times.max() < 95
    again = one_exposure_each(labelled, np.random.default_rng(0))
    assert np.array_equal(again.x, drawn[0].x)


def test_thinning_takes_the_smaller_of_the_limit_and_what_there_is() -> None:
    labelled = numbered(50, 50)
    rng = np.random.default_rng(0)
    few = thinned(labelled, 16, rng)
    assert len(few) == 16
    assert len(set(few.column("TARGETID"))) == 16
    assert few.counts == {"boss_thinned_out": 34}
    assert len(thinned(labelled, 16_000, rng)) == 50
    assert len(thinned(labelled, 50, rng)) == 50


def test_sources_are_merged_in_canonical_order(real_data: Path) -> None:
    boss = read_boss(
        [real_data / "boss" / "dr12_train.fits"],
        [real_data / "boss" / "truth_dr12q.fits"],
        LOG,
        high_z=2.1,
    )
    files = find_coadds(str(real_data / "desi"), "data.desi.spectra")
    truth = [real_data / "desi" / "truth_qso_catalog.csv"]
    both = merged([read_labelled(files, truth, LOG, high_z=2.1), boss])
    assert both.column("SOURCE").tolist() == ["boss"] * 137 + ["desi"] * 12
    for source in ("boss", "desi"):
        assert both.table.loc[both.table["SOURCE"] == source, "TARGETID"].is_monotonic_increasing
    assert (both.column("SNR") > 0).all() and both.column("SNR").dtype == np.float32
    assert both.counts["desi_labelled"] == 12
    assert both.counts["boss_labelled"] == 137
    assert class_counts(both)["QSO_LZ"] + class_counts(both)["QSO_HZ"] == 130


def test_written_for_other_processes(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"SOURCE": ["boss", "desi"], "TARGETID": [2**62 + 1, 7], "EXPID": [-1, 5],
                          "FILE": ["a", "b"], "ROW": [0, 3], "LABEL": [1, 2], "Z": [0.0, 2.5],
                          "BAL": [0, -1]})  # fmt: skip
    labelled = LabelledSet(rng.normal(size=(2, 443)).astype(np.float32), table)
    labelled.write(tmp_path)
    read = LabelledSet.read(tmp_path)
    assert read.fingerprint() == labelled.fingerprint()
    assert isinstance(read.x, np.memmap) and not read.x.flags.writeable
    spectra, labels = (tmp_path / name for name in ("spectra.npy", "labels.parquet"))
    written = spectra.stat().st_mtime_ns
    labelled.write(tmp_path)
    assert spectra.stat().st_mtime_ns == written
    for path in (spectra, labels):
        content = path.read_bytes()
        for damage in (b"", content[:200], content[:-4] + b"oops"):
            path.write_bytes(damage)
            labelled.write(tmp_path)
            assert path.read_bytes() == content


def test_a_condition_on_labelled_spectra(survey: tuple[Path, Path]) -> None:
    """Spectra that are left out are counted, and labels stay what they were."""
    condition = RowCondition("EXPID = 5", Desi.bits)
    whole, some = desi(survey), desi(survey, condition=condition)
    left_out = some.counts["desi_condition_left_out"]
    assert left_out == len(whole) - len(some) > 0
    accounted = ("unusable", "absurd_jump", "without_label", "labelled", "condition_left_out")
    assert sum(some.counts[f"desi_{name}"] for name in accounted) == whole.counts["desi_spectra"]
    assert set(some.column("EXPID")) == {5} < set(whole.column("EXPID"))
