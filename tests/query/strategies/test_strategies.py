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
from qnal.errors import InputError
from qnal.query.options import QueryOptions
from qnal.query.select import select
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


def built_in(name):
    node = OmegaConf.load(CONF / f"{name}.yaml").strategy
    created = plugin.create(node, "query.strategy", Strategy)
    assert created.name == name
    return created


@pytest.fixture(params=sorted(REFERENCES))
def strategy(request):
    return built_in(request.param)


@pytest.fixture(params=sorted(path.stem for path in CONF.glob("*.yaml")))
def any_strategy(request):
    return built_in(request.param)


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


@pytest.fixture(scope="module")
def scores(shares):
    """A table of scores with all columns that strategies use, two spectra per target."""
    n = len(shares)
    columns = {f"{kind}_{c}": shares[:, i] for kind in "CP" for i, c in enumerate(CLASSES)}
    columns |= {"ENTROPY": entropy(shares), "MUTUAL_INFO": 0.5 * entropy(shares)}
    random = np.random.default_rng(1)
    columns |= {"Z": random.uniform(0, 4, n), "Z_SPREAD": random.exponential(0.01, n)}
    columns |= {"BMU_DISTANCE": random.uniform(5, 15, n), "EXPID": np.arange(n) % 2}
    columns["BMU"] = pa.array(np.sqrt(random.uniform(0, 400, n)).astype(int), pa.int32())
    columns |= {"Z_RR": random.uniform(0, 4, n), "SPECTYPE_RR": random.choice(["QSO", "STAR"], n)}
    columns |= {"ZWARN_RR": random.integers(0, 2, n), "DELTACHI2_RR": random.exponential(50, n)}
    return pa.table({"TARGETID": 10**15 + np.arange(n) // 2} | columns)


@pytest.fixture(scope="module")
def queried(scores):
    def query(strategy, table=scores, n=50, seed=1):
        return select(table, QueryOptions(n=n, strategy=strategy, som_percentile=None, seed=seed))

    return query


def test_every_strategy_selects_distinct_targets(any_strategy, queried, scores):
    selection = queried(any_strategy)
    assert len(set(selection.targetids.tolist())) == len(selection) == 50
    assert selection.utilities.min() > 0
    assert selection.utilities.max() <= any_strategy.highest + 1e-9
    assert selection.table["RANK"].to_pylist() == list(range(1, 51))


def test_every_strategy_is_deterministic_in_any_order_of_rows(any_strategy, queried, scores):
    first = queried(any_strategy)
    shuffled = scores.take(np.random.default_rng(2).permutation(len(scores)))
    assert queried(any_strategy, shuffled).targetids.tolist() == first.targetids.tolist()


@pytest.mark.parametrize("name", ["random", "stratified"])
def test_another_seed_draws_other_targets(name, queried):
    first, second = (set(queried(built_in(name), seed=s).targetids.tolist()) for s in (1, 2))
    assert len(first & second) < 15  # 50 of 1000: 2.5 expected


def test_random_picks_are_uniform_over_targets(queried, scores):
    """A target with many spectra is as likely as one with a single spectrum."""
    once = scores.filter(np.arange(len(scores)) % 2 == 0)
    many = pa.concat_tables([once, *[once.slice(0, 500)] * 4])
    low = 10**15 + 500
    shares = [(queried(built_in("random"), many, 200, s).targetids < low).mean() for s in range(9)]
    # The mean of 9 × 200 draws from halves has a standard deviation of 0.011.
    assert np.mean(shares) == pytest.approx(0.5, abs=0.045)


def test_stratified_picks_are_equally_many_per_cell(queried, scores):
    best = queried(built_in("stratified"), n=90)
    _, per_cell = np.unique(best.table["BMU"].to_numpy(), return_counts=True)
    cells = pa.table({"b": scores["BMU"]}).group_by("b").aggregate([]).num_rows
    assert len(per_cell) == cells  # every occupied cell is there
    everything = queried(built_in("stratified"), n=10**6).table["BMU"].to_numpy()
    _, available = np.unique(everything, return_counts=True)
    assert np.all((per_cell >= 90 // cells) | (per_cell == available))
    assert per_cell.max() <= per_cell[per_cell < available].min() + 1


def test_stratified_needs_cells(queried, scores):
    with pytest.raises(InputError, match="no column BMU, which strategy stratified needs"):
        queried(built_in("stratified"), scores.drop(["BMU"]))
