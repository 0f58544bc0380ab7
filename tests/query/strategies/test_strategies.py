"""The built-in strategies, found by the files in conf/query, against numpy and scipy."""

from itertools import permutations
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from omegaconf import OmegaConf

from qnal.config import plugin
from qnal.query.strategies.least_confidence import LeastConfidence
from qnal.query.strategies.margin import Margin
from qnal.query.strategies.strategy import Strategy
from qnal.query.strategies.vote_entropy import VoteEntropy

CONF = Path(__file__).parents[3] / "conf" / "query"
CLASSES = ("NOT", "QSO_LZ", "QSO_HZ")


def entropy(p):
    return scipy.stats.entropy(p, axis=1)


REFERENCES = {
    "vote_entropy": entropy,
    "entropy": entropy,
    "mutual_info": lambda p: 0.5 * entropy(p),
    "margin": lambda p: 1 - np.diff(np.sort(p, axis=1)[:, 1:], axis=1)[:, 0],
    "least_confidence": lambda p: 1 - p.max(axis=1),
}


ELSEWHERE = {"redrock"}  # tested in tests/query/test_redrock_disagreement.py


@pytest.fixture(params=sorted({path.stem for path in CONF.glob("*.yaml")} - ELSEWHERE))
def strategy(request):
    node = OmegaConf.load(CONF / f"{request.param}.yaml").strategy
    created = plugin.create(node, "query.strategy", Strategy)
    assert created.name == request.param
    return created


@pytest.fixture(scope="module")
def shares():
    """Shares of votes of 200 members, some unanimous, shape [2000, 3]."""
    random = np.random.default_rng(0)
    return random.multinomial(200, random.dirichlet([0.5, 0.2, 0.2], 2000)) / 200


def utility(strategy, p):
    columns = {f"{kind}_{c}": p[:, i] for kind in "CP" for i, c in enumerate(CLASSES)}
    columns |= {"ENTROPY": entropy(p), "MUTUAL_INFO": 0.5 * entropy(p)}
    given = pa.table({c: columns[c] for c in strategy.columns})  # noqa: F841 (DuckDB finds it)
    found = duckdb.sql(f"SELECT {strategy.utility()} AS utility FROM given").fetchnumpy()
    return found["utility"]


def test_utility_is_that_of_numpy(strategy, shares):
    found = utility(strategy, shares)
    np.testing.assert_allclose(found, REFERENCES[strategy.name](shares), atol=1e-14)
    assert found.min() >= 0
    assert found.max() <= strategy.highest + 1e-12


def test_highest_utility_is_reached(strategy):
    tie = np.array([[1 / 3, 1 / 3, 1 / 3]])
    expected = strategy.highest / (2 if strategy.name == "mutual_info" else 1)
    assert utility(strategy, tie)[0] == pytest.approx(expected)


@pytest.mark.parametrize("strategy", [VoteEntropy(), Margin(), LeastConfidence()])
def test_permuted_shares_are_tied_to_the_last_bit(strategy, shares):
    expected = utility(strategy, shares)
    for order in permutations(range(3)):
        np.testing.assert_array_equal(utility(strategy, shares[:, order]), expected)


def test_vote_entropy_is_the_notebooks(golden):
    peer = np.load(golden / "query_expected.npz")["entropy"]
    columns = {"delimiter": ",", "skip_header": 1, "usecols": (3, 4, 5)}
    ours = utility(VoteEntropy(), np.genfromtxt(golden / "query_table.csv", **columns))
    assert np.isin(np.round(peer, 12), np.round(ours, 12)).all()
