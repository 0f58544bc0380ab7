from itertools import permutations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from qnal.query.utility import (
    UTILITIES,
    Strategy,
    entropy,
    least_confidence,
    margin,
    mutual_information,
)

LN3 = np.log(3)


@pytest.fixture(scope="module")
def shares():
    """Shares of votes of 200 members, some unanimous, shape [2000, 3]."""
    random = np.random.default_rng(0)
    votes = random.multinomial(200, random.dirichlet([0.5, 0.2, 0.2], 2000))
    return votes / 200


def by_sql(strategy, p):
    columns = {f"{kind}_{c}": p[:, i] for kind in "CP" for i, c in enumerate(NAMES)}
    columns |= {"ENTROPY": entropy(p), "MUTUAL_INFO": 0.5 * entropy(p)}
    given = pa.table(columns)  # noqa: F841 (DuckDB finds it by its name)
    return duckdb.sql(f"SELECT {UTILITIES[strategy].sql} AS utility FROM given").fetchnumpy()[
        "utility"
    ]


NAMES = ("NOT", "QSO_LZ", "QSO_HZ")


def test_entropy_by_hand():
    p = [[1, 0, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(
        entropy(np.array(p)), [0, np.log(2), 1.5 * np.log(2), LN3], atol=1e-15
    )


def test_entropy_is_the_references(golden):
    peer = np.load(golden / "query_expected.npz")
    table = np.genfromtxt(
        golden / "query_table.csv", delimiter=",", skip_header=1, usecols=(3, 4, 5)
    )
    ours = entropy(table)
    assert np.isin(np.round(peer["entropy"], 12), np.round(ours, 12)).all()


def test_entropy_bounds_and_axis(shares):
    h = entropy(shares)
    assert h.min() == 0 and h.max() <= LN3 + 1e-12
    np.testing.assert_array_equal(entropy(shares.T, axis=0), h)
    assert np.isnan(entropy(np.array([np.nan, 0.5, 0.5])))


@pytest.mark.parametrize("measure", [entropy, margin, least_confidence])
def test_permutation_changes_no_bit(shares, measure):
    for order in permutations(range(3)):
        np.testing.assert_array_equal(measure(shares[:, order]), measure(shares))


def test_mutual_information():
    agreed = np.tile([[0.2, 0.3, 0.5]], (5, 1, 1))
    np.testing.assert_allclose(mutual_information(agreed), 0, atol=1e-15)
    torn = np.eye(3)[:, None, :]  # three certain members, each of another class
    np.testing.assert_allclose(mutual_information(torn), LN3)
    halves = np.array([[[1.0, 0, 0]], [[0.5, 0.5, 0]]])
    np.testing.assert_allclose(mutual_information(halves), entropy([0.75, 0.25]) - np.log(2) / 2)
    members = np.random.default_rng(1).dirichlet([0.4, 0.4, 0.4], (10, 1000))
    information = mutual_information(members)
    assert (information >= 0).all() and (information <= entropy(members.mean(axis=0))).all()


def test_margin_and_least_confidence_by_hand():
    p = np.array([[0.7, 0.1, 0.2], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(margin(p), [0.5, 1, 0], atol=1e-15)
    np.testing.assert_allclose(least_confidence(p), [0.3, 0.5, 0], atol=1e-15)


@pytest.mark.parametrize(
    ("strategy", "measure"),
    [
        (Strategy.vote_entropy, entropy),
        (Strategy.entropy, entropy),
        (Strategy.mutual_info, lambda p: 0.5 * entropy(p)),
        (Strategy.margin, margin),
        (Strategy.least_confidence, least_confidence),
    ],
)
def test_sql_is_numpy(shares, strategy, measure):
    utility = by_sql(strategy, shares)
    np.testing.assert_allclose(utility, measure(shares), atol=1e-14)
    assert utility.min() >= 0 and utility.max() <= UTILITIES[strategy].highest + 1e-12


def test_every_strategy_has_sql():
    assert set(UTILITIES) == set(Strategy)


def test_vote_entropy_sql_is_the_same_for_permuted_votes(shares):
    utility = by_sql(Strategy.vote_entropy, shares)
    for order in permutations(range(3)):
        np.testing.assert_array_equal(by_sql(Strategy.vote_entropy, shares[:, order]), utility)
