"""Strategies whose utility is computed with numpy, beside the same ones in SQL."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from qnal.errors import InputError
from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.query.strategies.herding import Herding
from qnal.query.strategies.mixture import Mixture
from qnal.query.strategies.power import Power
from qnal.query.strategies.strategy import NumpyStrategy
from qnal.query.strategies.vote_entropy import VoteEntropy

ROWS = 5000  # more than DuckDB computes at a time


class NumpyVoteEntropy(NumpyStrategy):
    """Vote entropy with scipy."""

    name = "numpy_vote_entropy"
    columns = VoteEntropy.columns
    highest = VoteEntropy.highest
    label = "vote entropy"

    def utility_of(self, scores):
        return scipy.stats.entropy(np.stack([scores[c] for c in self.columns]), axis=0)


class WrongShape(NumpyVoteEntropy):
    """Forgets to compute one number per spectrum."""

    def utility_of(self, scores):
        return np.zeros(3)


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(3)
    votes = rng.multinomial(200, rng.dirichlet([0.5, 0.2, 0.2], ROWS)) / 200
    votes[::50] = np.nan
    columns = dict(zip(VoteEntropy.columns, votes.T, strict=True))
    columns |= {f"P_{c.removeprefix('C_')}": values for c, values in columns.items()}
    return pa.table(
        columns
        | {
            "TARGETID": np.arange(ROWS) + 2**53 + 1,
            "Z": rng.uniform(0, 4, ROWS),
            "STATUS": np.where(np.arange(ROWS) % 7, "ok", "no_signal"),
        }
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda measure: measure,
        lambda measure: Power(measure, beta=2.0),
        lambda measure: Herding(measure, space="predictions"),
        lambda measure: Mixture(
            [{"strategy": measure, "share": 3}, {"strategy": "random", "share": 1}]
        ),
    ],
    ids=["itself", "power", "herding", "mixture"],
)
def test_it_selects_what_sql_selects(scores, use):
    """SciPy's entropies are those of DuckDB to some 1e-15, and utilities are rounded to 1e-12."""
    computed, in_sql = (
        select(scores, QueryOptions(n=300, strategy=use(measure), som_percentile=None))
        for measure in (NumpyVoteEntropy(), VoteEntropy())
    )
    assert len(computed) == 300
    columns = ["TARGETID", "UTILITY"]
    assert computed.table.select(columns).equals(in_sql.table.select(columns))


def test_a_wrong_shape_is_refused(scores):
    with pytest.raises(InputError, match=r"WrongShape\.utility_of returned shape \(3,\)"):
        select(scores, QueryOptions(n=3, strategy=WrongShape()))
