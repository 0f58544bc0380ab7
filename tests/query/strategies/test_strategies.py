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
from qnal.errors import ConfigError, InputError
from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.query.strategies.herding import Herding, herd
from qnal.query.strategies.least_confidence import LeastConfidence
from qnal.query.strategies.margin import Margin
from qnal.query.strategies.mixture import Mixture
from qnal.query.strategies.power import Power
from qnal.query.strategies.strategy import BatchStrategy, Strategy
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
    "variation_ratio": lambda p: 1 - p.max(axis=1),
}
PROTOTYPES = np.random.default_rng(9).normal(0, 3, (20, 30))  # of a SOM of 20 cells


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
        return select(
            table,
            QueryOptions(n=n, strategy=strategy, som_percentile=None, seed=seed),
            prototypes=PROTOTYPES,
        )

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


class Careless(BatchStrategy):
    name, columns, highest, label = "careless", ("ENTROPY",), 2.0, "x"

    def __init__(self, sql):
        self.sql = sql

    def utility(self):
        return "ENTROPY"

    def select(self, candidates, n, rng):
        return candidates.targetids(self.sql.format(candidates.rows))


@pytest.mark.parametrize("sql", ["SELECT 1 AS TARGETID", "FROM {0} UNION ALL FROM {0}"])
def test_a_batch_of_others_than_candidates_or_of_doubles_is_refused(sql, queried):
    with pytest.raises(ConfigError, match="a strategy selects candidates, each once"):
        queried(Careless(sql))


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


def members(shares, rng):
    """Soft probabilities of 12 members, shape [12, n, 3]."""
    return rng.dirichlet([1, 1, 1], (12, len(shares)))


def test_measures_are_those_of_scikit_activeml(shares):
    """The mean KL divergence is the mutual information."""
    pytest.importorskip("skactiveml")
    from skactiveml.pool import average_kl_divergence, uncertainty_scores, variation_ratios
    from skactiveml.pool import vote_entropy as peer_vote_entropy

    some = shares[:300]
    votes = np.array([np.repeat(np.arange(3), np.rint(200 * p).astype(int)) for p in some])
    peers = {
        "least_confidence": uncertainty_scores(some, method="least_confident"),
        "margin": uncertainty_scores(some, method="margin_sampling"),
        "entropy": uncertainty_scores(some, method="entropy"),
        "vote_entropy": peer_vote_entropy(votes, [0, 1, 2]),
        "variation_ratio": variation_ratios(votes),
    }
    for name, expected in peers.items():
        np.testing.assert_allclose(utility(built_in(name), some), expected, atol=1e-7)
    soft = members(some, np.random.default_rng(4))
    information = entropy(soft.mean(0)) - np.mean([entropy(p) for p in soft], axis=0)
    np.testing.assert_allclose(average_kl_divergence(soft), information, atol=1e-6)


def test_redshift_spread_counts_quasar_votes_only():
    spread = np.array([0.02, 0.5, 7.0])
    given = pa.table(  # noqa: F841
        {"Z_SPREAD": spread, "C_QSO_LZ": [0.5, 0.0, 0.0], "C_QSO_HZ": [0.1, 0.0, 1.0]}
    )
    found = duckdb.sql(f"SELECT {built_in('redshift_spread').utility()} AS u FROM given")
    assert found.fetchnumpy()["u"].tolist() == [0.02, 0.0, 1.0]


def test_power_draws_in_proportion_to_the_measure():
    """Of two kinds with measures 0.8 and 0.2, four in five picks are of the first."""
    table = pa.table({"TARGETID": np.arange(4000), "MUTUAL_INFO": [0.8, 0.2] * 2000})
    picked = select(table, QueryOptions(n=400, strategy=Power()))
    # Binomial with a standard deviation of 0.02; drawing without replacement lowers it by 0.01.
    assert np.mean(picked.targetids % 2 == 0) == pytest.approx(0.79, abs=0.06)
    certain = select(table, QueryOptions(n=400, strategy=Power(beta=1000)))
    assert np.all(certain.targetids % 2 == 0)


def test_typical_takes_one_per_cell_nearest_to_its_prototype(queried, scores):
    frame = scores.to_pandas().sort_values("BMU_DISTANCE").drop_duplicates("TARGETID")
    selection = queried(built_in("typical"), n=20).table.to_pandas()
    nearest = frame.loc[frame.groupby("BMU").BMU_DISTANCE.idxmin()]
    assert set(selection.TARGETID) == set(nearest.TARGETID)
    sizes = frame.groupby("BMU").size()
    assert sizes[selection.BMU].is_monotonic_decreasing


def test_typical_merges_cells_into_as_many_regions_as_targets(queried):
    cells = queried(built_in("typical"), n=5).table["BMU"].to_pylist()
    assert len(set(cells)) == 5


def test_typical_needs_no_network():
    table = pa.table({"TARGETID": [1, 2, 3], "BMU": [0, 0, 1], "BMU_DISTANCE": [3.0, 1.0, 2.0]})
    options = QueryOptions(n=2, strategy=built_in("typical"), som_percentile=None)
    assert select(table, options).targetids.tolist() == [2, 3]


def test_herding_is_greedy_uncertainty_coverage():
    """Against the definition: every pick maximises the growth of Σ u max k."""
    rng = np.random.default_rng(5)
    n, picks = 40, 12
    x, u = rng.normal(size=(n, 2)), rng.uniform(0.1, 1, n)
    kernel = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 2)
    expected, covered = [], np.zeros(n)
    for _ in range(picks):
        gains = [u @ np.maximum(kernel[i] - covered, 0) for i in range(n)]
        expected.append(int(np.argmax(gains)))
        covered = np.maximum(covered, kernel[expected[-1]])
    assert herd(kernel, u, np.arange(n), u, picks) == expected


def test_herding_without_uncertainty_is_max_herding():
    pytest.importorskip("skactiveml")
    from skactiveml.pool import MaxHerding

    x = np.random.default_rng(6).normal(size=(30, 2))
    kernel = np.exp(-((x[:, None] - x) ** 2).sum(-1))
    peer = MaxHerding(metric="rbf", metric_dict={"gamma": 1.0}, missing_label=-1,
                        normalize_samples=False)  # fmt: skip
    expected = peer.query(x, np.full(30, -1), batch_size=6)
    assert herd(kernel, np.ones(30), np.arange(30), np.ones(30), 6) == list(expected)


def test_herding_picks_near_copies_once():
    """Nine copies of the most uncertain spectrum and one other: both kinds are among two picks."""
    table = pa.table(
        {
            "TARGETID": np.arange(10),
            "ENTROPY": [1.0] * 9 + [0.5],
            "BMU": [0] * 9 + [1],
            "BMU_DISTANCE": [0.01] * 10,
        }
    )
    prototypes = np.array([[0.0, 0.0], [5.0, 5.0]])
    options = QueryOptions(n=2, strategy=Herding(width=1.0), som_percentile=None)
    assert select(table, options, prototypes=prototypes).targetids.tolist() == [0, 9]


def test_herding_on_predictions_needs_no_som(queried, scores):
    table = scores.drop(["BMU", "BMU_DISTANCE"])
    herded = queried(Herding(space="predictions"), table, n=40).table.to_pandas()
    plain = queried(built_in("entropy"), table, n=40).table.to_pandas()
    assert herded.Z.std() > 0 and len(herded) == 40
    spread = [frame[["P_NOT", "P_QSO_LZ", "P_QSO_HZ"]].std().sum() for frame in (herded, plain)]
    assert spread[0] > spread[1]


def test_mixture_gives_shares_and_skips_what_is_missing(queried, scores):
    shares = [
        {"strategy": "vote_entropy", "share": 3},
        {"strategy": {"_target_": f"{Herding.__module__}.Herding", "width": 2.0}, "share": 1},
        {"strategy": "random", "share": 1},
    ]
    by = queried(Mixture(shares)).table["STRATEGY"].to_pylist()
    assert {name: by.count(name) for name in by} == {
        "vote_entropy": 30,
        "herding": 10,
        "random": 10,
    }
    plain = queried(VoteEntropy(), n=30).targetids.tolist()
    assert queried(Mixture(shares)).targetids[:30].tolist() == plain
    without = queried(Mixture(shares), scores.drop(["BMU"]))
    by = without.table["STRATEGY"].to_pylist()
    assert {name: by.count(name) for name in by} == {"vote_entropy": 38, "random": 12}
    assert any("share of herding was skipped" in note for note in without.notes)


def test_a_share_that_runs_out_goes_to_the_others():
    table = pa.table(
        {"TARGETID": [1, 2, 3, 4], "MUTUAL_INFO": [0.1, 0.2, 0.3, 0.4], "ENTROPY": [1.0, 0, 0, 0]}
    )
    shares = [{"strategy": "entropy", "share": 0.5}, {"strategy": "mutual_info", "share": 0.5}]
    selection = select(table, QueryOptions(n=4, strategy=Mixture(shares)))
    assert selection.targetids.tolist() == [1, 4, 3, 2]
    assert selection.table["STRATEGY"].to_pylist() == ["entropy"] + ["mutual_info"] * 3


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (
            [{"strategy": "entropi", "share": 1}],
            "entropi is not a strategy; valid names: .*entropy",
        ),
        ([{"strategy": "entropy", "share": 0}], "share of entropy is 0"),
        ([{"strategy": "entropy"}], "it takes strategy and share"),
        ([], "no strategy is given"),
    ],
)
def test_bad_shares_are_refused(shares, message):
    with pytest.raises(ConfigError, match=message):
        Mixture(shares)
