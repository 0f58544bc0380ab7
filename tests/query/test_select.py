"""The query as a whole, on the table of the notebook's query and on hand-made tables."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from scipy.stats import entropy

from qnal.errors import ConfigError, InputError
from qnal.query.filters.filter import Filter
from qnal.query.filters.live_cameras import CameraRule
from qnal.query.filters.som_occupancy import SomCounts
from qnal.query.funnel import Funnel
from qnal.query.options import QueryOptions
from qnal.query.score_table import open_scores
from qnal.query.select import select
from qnal.query.strategies.entropy import Entropy
from qnal.query.strategies.least_confidence import LeastConfidence
from qnal.query.strategies.margin import Margin
from qnal.query.strategies.mutual_info import MutualInformation
from qnal.query.strategies.vote_entropy import VoteEntropy


def query(scores, bmu=None, cells=None, **options):
    return select(scores, QueryOptions(**options), bmu, cells)


def scores(targetid, c_not, **columns):
    """Spectra of targets, voted quasar at low redshift by a share 1 − ``c_not`` of the members."""
    n, c_not = len(targetid), np.asarray(c_not, np.float32)
    table = {
        "TARGETID": pa.array(targetid, pa.int64()),
        "C_NOT": c_not,
        "C_QSO_LZ": (1 - c_not).astype(np.float32),
        "C_QSO_HZ": np.zeros(n, np.float32),
    }
    return pa.table(table | columns)


@pytest.fixture
def reference(golden):
    peer = np.load(golden / "query_expected.npz")
    lists = {
        "bad_cameras": [golden / "query_bad_targetids.txt"],
        "exclude": [golden / "query_other_campaign.txt"],
    }
    # Its entropies of permuted votes differ in the last bit, which decides over its ties.
    order = np.lexsort((peer["targetid"], -np.round(peer["entropy"], 12)))
    table = golden / "query_table.csv"
    cells = int(np.loadtxt(table, delimiter=",", skiprows=1, usecols=6).max()) + 1
    return table, {"cells": cells, **lists}, peer["counts"], peer["targetid"][order]


REFERENCE_STEPS = (
    "scored",
    "common SOM cells",
    "best row of each target",
    "no listed bad camera",
    "not on other lists",
)


@pytest.mark.parametrize("som_counts", SomCounts)
def test_reference(reference, som_counts):
    table, lists, counts, targetid = reference
    selection = query(table, n=len(targetid), som_counts=som_counts, **lists)
    funnel = dict(selection.funnel)
    assert [funnel[step] for step in REFERENCE_STEPS] == counts.tolist()
    np.testing.assert_array_equal(selection.targetids, targetid)
    assert selection.histogram.before.sum() == counts[1]
    assert selection.histogram.after.sum() == counts[2]


def test_reference_from_parts_with_a_sidecar(reference, tmp_path):
    """float32 shares in several files, BMUs in others: the same selection."""
    path, lists, counts, targetid = reference
    table = pyarrow.csv.read_csv(path)
    for name in ("C_NOT", "C_QSO_LZ", "C_QSO_HZ"):
        index = table.column_names.index(name)
        table = table.set_column(index, name, table[name].cast(pa.float32()))
    folder = tmp_path / "run=1" / "it's [here]"
    size = len(table) // 3 + 1
    for part, low in enumerate(range(0, len(table), size)):
        rows = table.slice(low, size)
        key = {
            "FILE": pa.array([f"tiles/{part}.fits"] * len(rows)),
            "ROW": pa.array(range(len(rows)), pa.int32()),
        }
        whole = rows.drop(["BMU"])
        for name, column in key.items():
            whole = whole.append_column(name, column)
        best = pa.table(key | {"BMU": rows["BMU"].cast(pa.int32()), "BMU_DISTANCE": rows["C_NOT"]})
        for kind, written in (("scores", whole), ("bmu", best)):
            (folder / kind / "tiles").mkdir(parents=True, exist_ok=True)
            pq.write_table(written, folder / kind / "tiles" / f"{part}.parquet")
    (folder / "scores" / ".being-written.parquet").write_bytes(b"half")
    selection = query(
        folder / "scores", bmu=folder / "bmu", n=len(targetid), memory_limit="500MB", **lists
    )
    np.testing.assert_array_equal(selection.targetids, targetid)
    funnel = dict(selection.funnel)
    assert [funnel[step] for step in REFERENCE_STEPS] == counts.tolist()
    # The rows fetched from the parts are those that were ranked.
    columns = selection.table.to_pydict()
    shares = np.transpose([columns[name] for name in ("C_NOT", "C_QSO_LZ", "C_QSO_HZ")])
    np.testing.assert_allclose(entropy(shares, axis=1), selection.utilities, atol=1e-6)
    np.testing.assert_allclose(columns["BMU_DISTANCE"], columns["C_NOT"])


def test_tiles_of_the_reference(reference):
    table, lists, _, _ = reference
    selection = query(table, n=500, **lists)
    raw = pyarrow.csv.read_csv(table)
    pairs = set(zip(raw["TARGETID"].to_pylist(), raw["TILEID"].to_pylist(), strict=True))
    tiles = [sum(target == found for found, _ in pairs) for target in selection.targetids[:20]]
    assert selection.table["N_TILES"].to_pylist()[:20] == tiles
    assert 0 < selection.on_several_tiles < 500


def test_best_row_and_its_ties():
    """Target 1: the more uncertain row. Target 2: the lower EXPID, FILE, ROW; null last."""
    table = scores(
        [1, 1, 2, 2, 2, 2],
        [0.9, 0.6, 0.7, 0.7, 0.3, 0.7],
        EXPID=pa.array([1, 2, None, 5, 5, 5], pa.int32()),
        FILE=pa.array(["a", "a", "a", "c", "b", "b"]),
        ROW=pa.array([0, 1, 2, 3, 9, 8], pa.int32()),
    )
    found = query(table, n=2).table.to_pydict()
    assert found["TARGETID"] == [1, 2] and found["RANK"] == [1, 2]
    assert (found["EXPID"], found["FILE"], found["ROW"]) == ([2, 5], ["a", "b"], [1, 8])


def test_order_of_rows_does_not_matter():
    random = np.random.default_rng(0)
    table = scores(
        random.integers(1, 300, 1000),
        random.integers(0, 10, 1000) / 10,
        EXPID=pa.array(random.permutation(1000), pa.int32()),
    )
    first = query(table, n=50).table
    assert query(table.take(random.permutation(1000)), n=50).table.equals(first)


def test_ties_at_the_cut_go_by_targetid_and_are_noted():
    selection = query(scores([9, 4, 7, 1], [0.5, 0.8, 0.2, 0.8]), n=2)
    assert selection.targetids.tolist() == [9, 1]
    assert any(
        "3 targets share the lowest selected utility; the 1" in note for note in selection.notes
    )
    assert selection.cut == selection.utilities[1] == pytest.approx(entropy([0.8, 0.2]), abs=1e-6)


@pytest.mark.parametrize(
    ("rule", "kept"),
    [(CameraRule.all, [1, 2, 4]), (CameraRule.any, [1, 4]), (CameraRule.none, [1, 2, 3, 4])],
)
def test_camera_rules(rule, kept):
    """1 alive; 2 has Z dead once; 3 has R dead in both; 4 unknown."""
    table = scores(
        [1, 2, 2, 3, 3, 4],
        [0.5] * 6,
        CAMERAS=pa.array([7, 3, 7, 5, 5, None], pa.int8()),
    )
    assert query(table, n=9, camera=rule).targetids.tolist() == kept


def test_dead_cameras_of_different_exposures_add_up():
    table = scores([1, 1, 2], [0.5] * 3, CAMERAS=pa.array([3, 4, 7], pa.int8()))
    assert query(table, n=9).targetids.tolist() == [1, 2]


def test_sky_is_not_selected_but_counts_in_its_cell():
    table = scores(
        [1, 2, -3, 4],
        [0.5, 0.5, 0.5, 0.5],
        OBJTYPE=pa.array(["TGT", None, "SKY", "SKY"]),
        BMU=pa.array([0, 0, 1, 1], pa.int32()),
    )
    # Both cells hold two, and neither more than the percentile unless a third, empty one counts.
    with pytest.raises(InputError, match="no spectrum is left"):
        query(table, n=9, cells=2)
    assert query(table, n=9, cells=3).targetids.tolist() == [1, 2]
    assert query(table, n=9, cells=3, keep_sky=True).targetids.tolist() == [-3, 1, 2, 4]


def test_empty_cells_count_unless_as_in_the_notebook():
    """Of 20 cells two hold 1 and 2 spectra: the 15th percentile is 0, of those two 1.15."""
    table = scores([1, 2, 3], [0.5] * 3, BMU=pa.array([0, 1, 1], pa.int32()))
    assert query(table, n=9, cells=20).targetids.tolist() == [1, 2, 3]
    notebook = query(table, n=9, cells=20, som_counts="notebook")
    assert notebook.targetids.tolist() == [2, 3]
    assert query(table, n=9, som_percentile=None).targetids.tolist() == [1, 2, 3]
    with pytest.raises(ConfigError, match="number of cells of the SOM is not known"):
        query(table, n=9)
    with pytest.raises(InputError, match="BMU 1 does not exist: the SOM has 1 cells"):
        query(table, n=9, cells=1)


def test_unusable_rows_count_in_cells_only():
    table = scores(
        [1, 2, 3, 4],
        [0.5, 0.5, np.nan, 0.5],
        STATUS=pa.array(["ok", "no_signal", "ok", "ok"]).dictionary_encode(),
        BMU=pa.array([0, 0, 0, None], pa.int32()),
    )
    selection = query(table, n=9, cells=4)
    assert selection.targetids.tolist() == [1]
    assert selection.funnel[:3] == [("scored", 4), ("usable", 2), ("common SOM cells", 1)]
    assert "1 spectra without a BMU were dropped" in " ".join(selection.notes)


def test_what_is_unknown_is_noted():
    selection = query(scores([1], [0.5]), n=1)
    assert any("“common SOM cells” was skipped" in note for note in selection.notes)
    assert any("no CAMERAS" in note for note in selection.notes)
    assert selection.on_several_tiles is None
    assert [step for step, _ in selection.funnel] == [
        "scored",
        "usable",
        "science targets",
        "best row of each target",
        "selected",
    ]


def test_fewer_than_asked_for():
    selection = query(scores([1, 2], [0.5, 0.4]), n=5)
    assert selection.targetids.tolist() == [1, 2]
    assert any("Only 2 of the 5 targets asked for are left" in note for note in selection.notes)


def test_targets_of_utility_0_are_not_selected():
    selection = query(scores([1, 2, 3], [1.0, 0.5, 1.0]), n=2)
    assert selection.targetids.tolist() == [2]
    assert any("2 others have utility 0" in note for note in selection.notes)


def test_arbitrary_rankings_are_refused():
    with pytest.raises(InputError, match="vote_entropy is 0 for every spectrum"):
        query(scores([1, 2], [1.0, 0.0]), n=1)
    sky = scores([1, -2], [1.0, 0.5])
    with pytest.raises(InputError, match="no spectrum with a utility above 0 is left"):
        query(sky, n=1)


@pytest.mark.parametrize(
    ("strategy", "ranking"),
    [
        (VoteEntropy(), [1, 3, 2]),
        (Entropy(), [2, 3, 1]),
        (MutualInformation(), [3, 1, 2]),
        (Margin(), [2, 3, 1]),  # 2 and 3 are tied
        (LeastConfidence(), [2, 3, 1]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_strategies_rank_by_their_columns(strategy, ranking):
    soft = {"P_NOT": [0.9, 0.2, 0.5], "P_QSO_LZ": [0.1, 0.4, 0.5], "P_QSO_HZ": [0.0, 0.4, 0.0]}
    table = scores([1, 2, 3], [0.6, 0.8, 0.7], ENTROPY=[0.1, 0.3, 0.2], MUTUAL_INFO=[0.2, 0.1, 0.3])
    for name, column in soft.items():
        table = table.append_column(name, pa.array(column, pa.float32()))
    assert query(table, n=3, strategy=strategy).targetids.tolist() == ranking


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"n": 0}, r"n=0 cannot be used; .* from 1 on\."),
        ({"som_percentile": 100}, r"som_percentile=100 .* from 0 up to, not including, 100\."),
        ({"max_outlier": np.inf}, "max_outlier=inf cannot be used"),
        ({"camera": "some"}, "camera=some cannot be used; it takes all, any, none."),
        ({"som_counts": "x"}, "som_counts=x cannot be used; it takes all, notebook."),
        ({"memory_limit": "4 apples"}, r"memory_limit=4 apples .* such as 4GB\."),
        ({"temp_dir": Path("/no/such/folder")}, r"temp_dir=/no/such/folder: there is no such"),
    ],
)
def test_bad_values_are_refused(value, message):
    with pytest.raises(ConfigError, match=message):
        query(scores([1], [0.5]), **({"n": 1} | value))


class Bright(Filter):
    """A filter from outside the package, which needs a column that queries do not load."""

    name = "bright"
    columns = ("SNR_R",)

    def keep(self, candidates):
        return f"FROM {candidates.rows} WHERE SNR_R > 1"


@pytest.mark.parametrize(("snr", "left"), [([3.0, 0.5, 2.0], 2), (None, 3)])
def test_a_filter_is_one_class(snr, left):
    columns = {} if snr is None else {"SNR_R": pa.array(snr, pa.float32())}
    table = scores([1, 2, 3], [0.5, 0.5, 0.5], **columns)
    with open_scores(table, None, VoteEntropy(), Bright.columns) as opened:
        funnel = Funnel(opened, VoteEntropy())
        funnel.apply_all([Bright()])
        assert funnel.candidates.count() == left
        if snr is None:
            assert funnel.candidates.notes == [
                "Filter “bright” was skipped: the scores have no SNR_R."
            ]
            assert funnel.counts == [("scored", 3)]
        else:
            assert funnel.counts == [("scored", 3), ("bright", 2)]
