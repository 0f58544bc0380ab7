"""What is computed again and what is not: members, thresholds, SOMs, and changed files."""

import json
import os
import shutil
from pathlib import Path

import duckdb
import fitsio
import pandas as pd
import pyarrow.parquet as pq
import pytest

import qnal
from qnal.ensemble.votes import Thresholds
from qnal.network.weights import write_network
from qnal.scores.dataset import ScoresFolder


@pytest.fixture
def pool(pipeline, tmp_path) -> Path:
    """Two tiles' worth of the mock pool, to be changed."""
    work, _ = pipeline
    (source,) = (work / "mock").glob("*/pool/tiles/perexp")
    return Path(shutil.copytree(source, tmp_path / "perexp"))


@pytest.fixture
def weights(pipeline, tmp_path, random_network) -> Path:
    """A bare folder of four networks that can be changed."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for k in range(4):
        write_network(random_network(k), folder / f"net_{k}.h5")
    return folder


@pytest.fixture
def infer(pipeline, qnal_job, tmp_path, pool, weights):
    """Score the pool; returns the summary, after which the dataset is known to be whole."""
    _, pipeline_summary = pipeline

    def run(*overrides, work="work", code=0):
        found, summary = qnal_job(
            tmp_path / "job",
            "stage=infer",
            f"ensemble.path={weights}",
            "ensemble.line_threshold=0.6",
            f"som.path={pipeline_summary['paths']['som']}",
            f"data.pool={pool}",
            f"work_dir={tmp_path / work}",
            "tracking=none",
            "executor=serial",
            "infer.precision=float32",
            *overrides,
        )
        assert found == code, summary
        return summary

    return run


def content(summary, *kinds):
    """Bytes of the parts and BMUs of a dataset."""
    root = Path(summary["paths"]["scores"])
    files = [p for kind in kinds or ("parts", "_bmu") for p in (root / kind).rglob("*.*")]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def cost(summary):
    """Files whose spectra were read, and forward passes."""
    return summary["metrics"]["files_read"], summary["metrics"]["forward_passes"]


def scored(summary):
    return summary["metrics"]["scored"]


def files_of(pool):
    return sorted(pool.rglob("coadd-*.fits"))


@pytest.mark.parametrize(
    "change",
    [
        ["ensemble.line_threshold=0.7"],
        ["ensemble.high_z=1.5"],
        ["ensemble.n=2"],
        ["ensemble.line_threshold=0.5", "ensemble.n=3", "ensemble.high_z=2.5"],
    ],
)
def test_derived_is_what_would_be_computed(infer, pool, change):
    first = infer()
    assert cost(first) == (len(files_of(pool)), 4 * scored(first))
    derived = infer(*change)
    assert derived["paths"]["scores"] != first["paths"]["scores"]
    assert derived["paths"]["predictions"] == first["paths"]["predictions"]
    assert cost(derived) == (0, 0)
    fresh = infer(*change, "infer.keep_members=false", work="other")
    assert cost(fresh)[1] > 0 and "predictions" not in fresh["paths"]
    assert not (Path(fresh["paths"]["scores"]).parents[1] / "predictions").exists()
    assert content(derived) == content(fresh) != content(first)


@pytest.mark.parametrize("precision", ["bfloat16", "auto"])
def test_stored_predictions_do_not_depend_on_the_thresholds(infer, precision):
    """Nor on whether another job has stored predictions before; bfloat16 runs on any processor."""
    given = [f"infer.precision={precision}", "ensemble.n=2"]
    infer(*given, "ensemble.line_threshold=0.5", "ensemble.high_z=1.5")
    second = infer(*given, "ensemble.line_threshold=0.95")
    assert cost(second) == (0, 0)
    alone = infer(*given, "ensemble.line_threshold=0.95", work="other")
    assert cost(alone)[1] > 0
    assert content(second) == content(alone)


def test_more_members_cost_the_new_ones(infer, pool):
    few = infer("ensemble.n=1")
    more = infer("ensemble.n=3")
    assert cost(few)[1] == scored(few)
    assert cost(more) == (len(files_of(pool)), 2 * scored(few))
    all_of_them = infer()
    assert cost(all_of_them)[1] == scored(few)
    assert content(all_of_them) == content(infer(work="other"))


def test_changed_weights_are_computed_again_and_no_others(infer, weights, random_network):
    first = infer()
    write_network(random_network(9), weights / "net_2.h5")
    second = infer()
    assert cost(second)[1] == scored(first)
    assert second["paths"]["scores"] != first["paths"]["scores"]
    assert content(second) == content(infer(work="other"))


def test_equal_weights_vote_twice(infer, weights):
    shutil.copy(weights / "net_0.h5", weights / "net_1.h5")
    first = infer("ensemble.n=2")
    assert cost(first)[1] == scored(first)
    one = infer("ensemble.n=1")
    table = [pq.read_table(Path(s["paths"]["scores"], "parts")) for s in (first, one)]
    assert table[0].equals(table[1])


def test_min_lines_chooses_what_is_kept(infer):
    first = infer()
    second = infer("ensemble.min_lines=2")
    assert second["paths"]["predictions"] != first["paths"]["predictions"]
    assert cost(second)[1] == 4 * scored(first)


def test_another_som_costs_one_more_read_and_then_none(infer, pool, tmp_path, qnal_job):
    first = infer()
    _, fitted = qnal_job(
        tmp_path / "som", "stage=som", f"data.pool={pool}", f"work_dir={tmp_path / 'work'}",
        "som.shape=[3,3]", "som.epochs=2", "tracking=none",
    )  # fmt: skip
    second = infer(f"som.path={fitted['paths']['som']}")
    assert second["paths"]["scores"] == first["paths"]["scores"]
    assert cost(second) == (len(files_of(pool)), 0)
    assert content(second, "parts") == content(first, "parts")
    third = infer(f"som.path={fitted['paths']['som']}", "ensemble.high_z=1.5")
    assert cost(third) == (0, 0)
    cells = [pq.read_table(p) for p in Path(third["paths"]["scores"], "_bmu").rglob("*.parquet")]
    assert {c for t in cells for c in t["BMU"].drop_null().to_pylist()} <= set(range(9))


def rows(summary):
    """All scores, and all BMUs, without the metadata of the parts."""
    root = Path(summary["paths"]["scores"])
    return [pq.read_table(root / kind).to_pandas() for kind in ("parts", "_bmu")]


def test_a_touched_file_is_read_but_not_computed(infer, pool):
    first = infer()
    before = rows(first)
    os.utime(files_of(pool)[0], ns=(1, 1))
    second = infer()
    assert cost(second) == (1, 0)
    for old, new in zip(before, rows(second), strict=True):
        pd.testing.assert_frame_equal(old, new)
    assert cost(infer()) == (0, 0)  # its new time was noted
    assert content(second) == content(infer(work="other"))
    assert cost(infer("ensemble.high_z=1.5")) == (0, 0)


def test_a_moved_pool_costs_one_read_and_no_forward_pass(infer, pool, tmp_path):
    first = infer()
    moved = pool.rename(tmp_path / "moved")
    second = infer(f"data.pool={moved}")
    assert second["paths"]["scores"] != first["paths"]["scores"]
    assert second["paths"]["predictions"] == first["paths"]["predictions"]
    assert cost(second) == (len(files_of(moved)), 0)
    assert content(second) == content(first)
    assert cost(infer(f"data.pool={moved}", "ensemble.high_z=1.5")) == (0, 0)


def test_a_moved_work_folder_goes_on(infer, pool, tmp_path):
    inside = tmp_path / "work" / "pool"
    inside.parent.mkdir()
    pool.rename(inside)
    first = infer(f"data.pool={inside}")
    moved = (tmp_path / "work").rename(tmp_path / "moved")
    described = (next(moved.glob("scores/*")) / "_dataset.json").read_text()
    assert str(tmp_path / "work") not in described
    second = infer(f"data.pool={moved / 'pool'}", work="moved")
    assert cost(second) == (0, 0)
    assert Path(second["paths"]["scores"]).name == Path(first["paths"]["scores"]).name
    folder = ScoresFolder(Path(second["paths"]["scores"]))
    assert folder.description().pool == (str(moved / "pool"),)


def test_readers_of_parquet_datasets_take_the_folder(infer):
    summary = infer("infer.csv=true")
    folder = summary["paths"]["scores"]
    table = pd.read_parquet(folder)
    assert len(table) == summary["metrics"]["spectra"]
    assert pq.read_table(folder).num_rows == len(table)
    found = duckdb.sql(f"SELECT count(*), count(DISTINCT FILE) FROM '{folder}/parts/**/*.parquet'")
    assert found.fetchall() == [(len(table), summary["metrics"]["files"])]


def test_three_files_per_coadd(infer, pool):
    summary = infer()
    work = Path(summary["paths"]["scores"]).parents[1]
    made = [p for p in work.rglob("*") if p.is_file() and p.parent.parent.name != "scores"]
    named = [p for p in made if "parts" in p.parts or "_bmu" in p.parts or len(p.parent.name) == 2]
    assert len(named) == 3 * len(files_of(pool))
    beside = {p.name for p in set(made) - set(named)}
    assert len(beside) < 12, beside


def altered(path, hdu, change):
    """Write changed data into one HDU of a coadd; size and time stay as they were."""
    stat = path.stat()
    with fitsio.FITS(str(path), "rw") as fits:
        data = fits[hdu].read()
        change(data)
        fits[hdu].write(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size


def brighter(flux):
    flux[0] *= 1.5
    flux[1, :200] += 3


def renamed(fibermap):
    fibermap["TARGET_RA"] += 1


def test_content_is_compared_on_request(infer, pool):
    first = infer()
    before = content(first)
    assert cost(infer("infer.verify=content")) == (len(files_of(pool)), 0)
    assert content(first) == before
    altered(files_of(pool)[0], "R_FLUX", brighter)
    assert cost(infer()) == (0, 0)  # nothing to be seen from outside
    again = infer("infer.verify=content")
    rows = pq.read_table(Path(again["paths"]["scores"], "parts")).to_pandas()
    mine = rows["FILE"] == files_of(pool)[0].relative_to(pool).as_posix()
    assert cost(again) == (len(files_of(pool)), 4 * (rows[mine]["STATUS"] == "ok").sum())
    assert content(again) == content(infer(work="other")) != before
    assert cost(infer("infer.verify=content"))[1] == 0


def test_changed_identity_costs_no_forward_pass(infer, pool):
    first = infer()
    before = content(first)
    path = files_of(pool)[0]
    altered(path, "FIBERMAP", renamed)
    os.utime(path)
    again = infer()
    assert cost(again) == (1, 0)
    after = content(again)
    assert {k for k in after if after[k] != before[k]} == {
        f"parts/{path.relative_to(pool).as_posix()}.parquet"
    }
    assert after == content(infer(work="other"))


def test_a_re_reduced_file_is_done_again_alone(infer, pool):
    infer()
    path = files_of(pool)[0]
    altered(path, "B_FLUX", brighter)
    os.utime(path)
    again = infer()
    assert cost(again)[0] == 1 and 0 < cost(again)[1] < 4 * scored(again)
    assert content(again) == content(infer(work="other"))
    # Nothing of the earlier spectra is kept.
    stored = Path(again["paths"]["predictions"]).glob("??/*.parquet")
    digests = {json.loads(pq.read_metadata(p).metadata[b"qnal"])["spectra"] for p in stored}
    (index,) = Path(again["paths"]["predictions"]).glob("_files/*.parquet")
    assert digests == set(pq.read_table(index)["SPECTRA"].to_pylist())


def test_parts_do_not_depend_on_the_order(infer, pool):
    first = infer()
    other = infer("infer.random_order=true", work="other")
    assert content(other) == content(first)
    assert other["metrics"] == first["metrics"]


@pytest.mark.parametrize("executor", [["local", "executor.max_workers=2"], ["threads"]])
def test_every_executor_writes_the_same(infer, executor):
    """The work is pickled, and each process reads the networks for itself."""
    first = infer("infer=numpy")
    name, *rest = executor
    other = infer("infer=numpy", f"executor={name}", *rest, work="other")
    assert content(other) == content(first)
    assert cost(other) == cost(first)


def test_scoring_from_python_gives_the_same(infer, pool, weights):
    summary = infer()
    ensemble = qnal.load_ensemble(weights, thresholds=Thresholds(0.6))
    for path in files_of(pool)[:2]:
        name = path.relative_to(pool).as_posix()
        part = pq.read_table(Path(summary["paths"]["scores"], "parts", f"{name}.parquet"))
        scored_again = ensemble.score(path)
        both = [t.drop_columns(["FILE"]).replace_schema_metadata() for t in (part, scored_again)]
        assert both[0].equals(both[1])


def test_the_csv_is_made_of_the_parts(infer):
    plain = infer()
    summary = infer("infer.csv=true")
    assert cost(summary) == (0, 0)
    lines = Path(summary["paths"]["csv"]).read_text().splitlines()
    assert len(lines) == 1 + scored(summary)
    assert content(plain, "parts") == content(summary, "parts")


def test_damaged_predictions_are_computed_again(infer, pool):
    first = infer()
    group = next(Path(first["paths"]["predictions"]).glob("??/*.parquet"))
    damaged = bytearray(group.read_bytes())
    damaged[4:200] = bytes(196)
    group.write_bytes(damaged)
    derived = infer("ensemble.high_z=1.5")
    assert cost(derived)[0] == 1 and 0 < cost(derived)[1] < 4 * scored(first)
    assert content(derived) == content(infer("ensemble.high_z=1.5", work="other"))


def test_predictions_that_were_deleted(infer):
    first = infer()
    shutil.rmtree(first["paths"]["predictions"])
    assert cost(infer()) == (0, 0)  # the scores are whole
    derived = infer("ensemble.high_z=1.5")
    assert cost(derived)[1] == 4 * scored(first)


def test_what_is_counted_adds_up(infer, tmp_path):
    summary = infer()
    metrics = summary["metrics"]
    table = pq.read_table(Path(summary["paths"]["scores"], "parts")).to_pandas()
    assert metrics["spectra"] == len(table)
    assert metrics["scored"] == (table["STATUS"] == "ok").sum()
    assert metrics["quasar_share"] == pytest.approx((table["C_NOT"].dropna() < 0.5).mean())
    assert metrics["vote_entropy_mean"] == pytest.approx(table["VOTE_ENTROPY"].mean(), rel=1e-5)
    table = pd.read_csv(tmp_path / "job" / "per_petal.csv")
    assert table["spectra"].sum() == metrics["spectra"]
    for name in ("per_night.png", "per_petal.png", "som_of_pool.png"):
        assert (tmp_path / "job" / name).exists()


def test_damaged_parts_and_bmus_are_made_again_without_a_forward_pass(infer):
    first = infer()
    before, root = content(first), Path(first["paths"]["scores"])
    part, other = sorted((root / "parts").rglob("*.parquet"))[:2]
    damaged = bytearray(part.read_bytes())
    damaged[4:200] = bytes(196)
    part.write_bytes(damaged)
    other.write_bytes(b"")
    for file in (root / "_bmu").rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[:-100])
    again = infer()
    assert cost(again) == (0, 0)
    assert content(again) == before


@pytest.mark.parametrize("damage", ["missing", "damaged", "stale"])
def test_the_index_is_rebuilt_from_the_parts(infer, pool, damage):
    first = infer()
    index = Path(first["paths"]["scores"], "_files.parquet")
    whole = pq.read_table(index)
    if damage == "missing":
        index.unlink()
    elif damage == "damaged":
        index.write_bytes(b"PAR1")
    else:
        pq.write_table(whole.slice(2), index)
    assert cost(infer()) == (0, 0)
    assert pq.read_table(index).equals(whole)


def test_scores_of_an_older_format_are_refused(infer, qnal_job, tmp_path):
    folder = Path(infer()["paths"]["scores"])
    (folder / "_dataset.json").rename(folder / "dataset.json")
    code, summary = qnal_job(
        tmp_path / "query", "stage=query", f"query.scores={folder}", "tracking=none",
        f"work_dir={tmp_path / 'work'}",
    )  # fmt: skip
    assert code == 1
    assert "format version 1" in summary["error"] and "run stage=infer again" in summary["error"]


def test_a_limit_does_not_change_the_size_of_the_pool(infer, pool):
    summary = infer("infer.limit=1")
    described = json.loads(Path(summary["paths"]["scores"], "_dataset.json").read_text())
    assert described["files"] == len(files_of(pool)) > 1
