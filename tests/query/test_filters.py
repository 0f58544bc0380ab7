"""The filters by their names, each on a small table whose answer is known."""

import fitsio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qnal.errors import ConfigError, InputError
from qnal.query.filters.named import filter_classes, named_filter
from qnal.query.options import QueryOptions
from qnal.query.select import select

SHARES = {"C_NOT": [0.5] * 6, "C_QSO_LZ": [0.5] * 6, "C_QSO_HZ": [0.0] * 6}


@pytest.fixture(scope="module")
def table():
    """Six targets of one spectrum."""
    columns = {
        "TARGETID": [1, 2, 3, 4, 5, 6],
        "COADD_FIBERSTATUS": pa.array([0, 8, None, 0, 0, 0], pa.int32()),
        "DESI_TARGET": pa.array([4, 2**60, 0, 2**12, None, 5], pa.int64()),
        "SURVEY": ["main", "main", "sv3", "cmx", "main", "cmx"],
        "Z": [0.5, 1.0, 1.5, 2.0, 2.5, np.nan],
        "FLUX_R": [1.0, 10.0, 100.0, -1.0, None, np.nan],
        "SNR_R": [0.1, 0.5, 1.0, 2.0, 4.0, None],
        "C_BAL": [0.9, 0.1, 0.9, 0.1, 0.9, None],
    }
    return pa.table(columns | SHARES)


def kept(table, *filters, **options):
    steps = [named_filter(given, "query.filters") for given in filters]
    selection = select(table, QueryOptions(n=99, steps=steps, **options))
    return sorted(selection.targetids.tolist())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("usable", [1, 2, 3, 4, 5, 6]),
        ("fibre_status", [1, 3, 4, 5, 6]),
        ({"_target_": "target_bits", "names": ["QSO"]}, [1, 4]),
        ({"_target_": "target_bits", "names": ["QSO", "BGS_ANY"]}, [1, 2, 4]),
        ({"_target_": "redshift_window", "lowest": 1.0, "highest": 2.0}, [2, 3, 4]),
        ({"_target_": "redshift_window", "lowest": 1.2}, [3, 4, 5]),
        ({"_target_": "magnitude_window", "brightest": 18, "faintest": 20.5}, [2]),
        ({"_target_": "magnitude_window", "faintest": 30}, [1, 2, 3]),
        ({"_target_": "signal_to_noise_window", "lowest": 0.5, "highest": 2}, [2, 3, 4]),
        ({"_target_": "sql_condition", "condition": "C_BAL > 0.5 AND Z > 1"}, [3, 5]),
        ({"_target_": "sql_condition", "condition": "Z > 1 OR true -- all"}, [1, 2, 3, 4, 5, 6]),
        ({"_target_": "sql_condition", "condition": "c_bal > 0.5 AND z > 1"}, [3, 5]),
        ({"_target_": "qnal.query.filters.fibre_status.FibreStatus"}, [1, 3, 4, 5, 6]),
    ],
    ids=str,
)
def test_what_is_kept(table, given, expected):
    assert kept(table, given) == expected


def test_filters_are_lines_of_the_funnel_in_their_order(table):
    given = [
        "usable",
        {"_target_": "sql_condition", "condition": "C_BAL > 0.5", "name": "broad absorption"},
        "best_spectrum",
        {"_target_": "redshift_window", "lowest": 1.0},
    ]
    steps = [named_filter(g, "query.filters") for g in given]
    assert select(table, QueryOptions(n=2, steps=steps)).funnel == [
        ("scored", 6),
        ("usable", 6),
        ("broad absorption", 3),
        ("best row of each target", 3),
        ("1 ≤ z", 2),
        ("selected", 2),
    ]


def test_unusable_and_several_spectra_are_dealt_with_in_any_list(table):
    nulls = table.set_column(table.column_names.index("C_NOT"), "C_NOT", [[None] + [0.5] * 5])
    twice = pa.concat_tables([nulls, nulls])
    assert kept(twice, "fibre_status") == [3, 4, 5, 6]


def test_one_spectrum_per_target():
    """Target 1: the first spectrum is certain with the best S/N, the second uncertain."""
    table = pa.table(
        {
            "TARGETID": [1, 1, 2],
            "EXPID": [7, 8, 9],
            "C_NOT": [0.9, 0.5, 0.6],
            "C_QSO_LZ": [0.1, 0.5, 0.4],
            "C_QSO_HZ": [0.0, 0.0, 0.0],
            "SNR_B": [3.0, 1.0, 1.0],
            "SNR_R": [3.0, 4.0, 1.0],
            "SNR_Z": [3.0, -9.0, None],
        }
    )

    def ranked(name):
        steps = [named_filter(name, "query.filters")]
        found = select(table, QueryOptions(n=9, steps=steps)).table.to_pydict()
        return found["TARGETID"], found["EXPID"], found["UTILITY"]

    uncertain, half, certain = (
        -sum(p * np.log(p) for p in shares) for shares in ((0.6, 0.4), (0.5, 0.5), (0.9, 0.1))
    )
    assert ranked("best_spectrum")[:2] == ([1, 2], [8, 9])
    targets, exposures, utility = ranked("best_signal_to_noise")
    assert (targets, exposures) == ([2, 1], [9, 7])
    assert utility == pytest.approx([uncertain, certain])
    targets, exposures, utility = ranked("mean_utility")
    assert (targets, exposures) == ([2, 1], [9, 8])
    assert utility == pytest.approx([uncertain, (half + certain) / 2])


def test_lists_in_all_formats(table, tmp_path):
    (tmp_path / "a.txt").write_text("1\n")
    (tmp_path / "b.csv").write_text("NAME,TARGETID\nx, 2\n")
    fitsio.write(tmp_path / "c.fits", np.array([(3,)], [("TARGETID", "i8")]), extname="LIST")
    pq.write_table(pa.table({"TARGETID": [4]}), tmp_path / "d.parquet")
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    assert kept(table, {"_target_": "target_lists", "paths": paths}) == [5, 6]
    assert kept(table, {"_target_": "target_lists", "paths": paths[2]}) == [1, 2, 4, 5, 6]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "TARGETID\n1.5\n"), ("a.csv", "ID\n1\n"), ("a.csv", ""), ("a.fits", "no")],
)
def test_bad_lists_are_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=name):
        named_filter({"_target_": "target_lists", "paths": str(tmp_path / name)}, "query.filters")


def test_labelled_targets_are_left_out(table, tmp_path):
    pq.write_table(pa.table({"TARGETID": [2, 2, 5]}), tmp_path / "labels.parquet")
    assert kept(table, "usable", labels=tmp_path / "labels.parquet") == [1, 3, 4, 6]
    selection = select(table, QueryOptions(n=9, labels=tmp_path, control=1))
    assert dict(selection.funnel)["not labelled yet"] == 4
    assert selection.control_population == 4  # labelled ones cannot be drawn


def test_control_picks_are_drawn_before_interesting_filters(table):
    steps = [
        named_filter(given, "query.filters")
        for given in (
            {"_target_": "redshift_window", "highest": 1.0},
            "fibre_status",
            {"_target_": "sql_condition", "condition": "C_BAL > 0", "interesting": True},
        )
    ]
    selection = select(table, QueryOptions(n=1, steps=steps, control=1, seed=3))
    assert selection.control_population == 5  # all but the bad fibre


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("usabel", r"query\.filters\[0\]: there is no filter usabel; it takes one of .*usable"),
        ({"_target_": "target_bits", "names": ["QSOO"]}, "QSOO is not a target class"),
        ({"_target_": "redshift_window", "low": 1}, "unexpected keyword argument 'low'|got an un"),
        ({"_target_": "redshift_window"}, "it takes one limit or two"),
        ({"_target_": "redshift_window", "lowest": 2, "highest": 1}, "in ascending order"),
        ({"_target_": "sql_condition", "condition": "Z >"}, "is not an SQL condition"),
        ({"_target_": "sql_condition", "condition": "Z > (SELECT 1)"}, "must not have subqueries"),
        ({"_target_": "sql_condition", "condition": "Z > 1); DROP TABLE x; --"}, "SQL condition"),
        ({"_target_": "sql_condition", "condition": "true) UNION SELECT (1"}, "SQL condition"),
        ({"_target_": "no.such.Filter"}, "cannot be imported"),
        ({"_target_": "pathlib.Path"}, "cannot be used; it takes one of"),
        ({"_target_": "live_cameras", "rule": "none"}, "rule=none cannot be used"),
        ({"_target_": "som_occupancy", "percentile": 100}, "percentile=100 cannot be used"),
    ],
    ids=str,
)
def test_bad_filters_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        named_filter(given, "query.filters[0]")


def test_a_missing_column_is_named(table):
    for given in ({"_target_": "sql_condition", "condition": "NOPE > 1"}, "best_signal_to_noise"):
        with pytest.raises(InputError, match=r"needs (NOPE|SNR_\*), which the scores"):
            kept(table.drop_columns("SNR_R"), given)


def test_every_filter_is_documented():
    assert len(filter_classes()) >= 15
    for name, cls in filter_classes().items():
        assert cls.__doc__, name


def test_a_misspelt_column_of_a_condition_gets_a_hint(table):
    with pytest.raises(InputError, match=r"needs C_BALX, .* Did you mean C_BAL\?"):
        kept(table, {"_target_": "sql_condition", "condition": "C_BALX > 1"})
