"""Disagreement with Redrock: kinds, utilities and reasons of chosen spectra."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from omegaconf import OmegaConf

from qnal.config import plugin
from qnal.errors import InputError
from qnal.query.filters.live_cameras import CameraRule
from qnal.query.options import QueryOptions
from qnal.query.redrock_disagreement import Kind
from qnal.query.select import select
from qnal.query.strategies.redrock import RedrockDisagreement
from qnal.query.strategies.strategy import Strategy
from qnal.query.strategies.vote_entropy import VoteEntropy

CONF = Path(__file__).parents[2] / "conf" / "query" / "redrock.yaml"
# P_NOT, Z, Z_RR, ZWARN_RR, SPECTYPE_RR, DELTACHI2_RR, and the words of the reason
CASES = {
    "agreed": (0.0, 2.5, 2.51, 0, "QSO", 900.0, None),
    "a star of both": (1.0, 0.5, 0.0, 0, "STAR", 12.0, None),
    "lost": (0.0, 1.2, 0.4, 0, "GALAXY", 900.0,
             "the ensemble says quasar at z = 1.20, Redrock GALAXY at z = 0.40"),
    "template end": (0.0, 1.2, 1.6, 0, "GALAXY", 900.0, "end of the galaxy templates"),
    "no quasar": (0.9, 1.2, 1.0, 0, "QSO", 900.0, "the ensemble says no quasar, Redrock QSO"),
    "redshift": (0.1, 1.0, 2.0, 0, "QSO", 900.0,
                 "quasar at z = 1.00 by the ensemble and 2.00 by Redrock"),
    "within the prior": (0.1, 1.0, 1.15, 0, "QSO", 900.0, None),
    "join": (0.2, 1.0, 3.75, 4, "QSO", 900.0, "Redrock warns (ZWARN 4)"),
    "unsure": (0.0, 2.5, 2.51, 0, "QSO", 10.0, "another fit of Redrock is about as good (Δχ² 10)"),
    "not certain": (0.5, 2.5, 1.0, 0, "GALAXY", 900.0, "no quasar"),
    "no redrock": (0.0, 2.5, None, None, None, None, None),
}  # fmt: skip
NAMES = list(CASES)


@pytest.fixture
def scores():
    columns = list(zip(*CASES.values(), strict=True))
    names = ("P_NOT", "Z", "Z_RR", "ZWARN_RR", "SPECTYPE_RR", "DELTACHI2_RR")
    table = {name: pa.array(values) for name, values in zip(names, columns[:-1], strict=True)}
    table["Z"] = table["Z"].cast(pa.float32())
    n = len(CASES)
    table["TARGETID"] = pa.array(range(n), pa.int64())
    for name, share in (("C_NOT", 0.2), ("C_QSO_LZ", 0.4), ("C_QSO_HZ", 0.4)):
        table[name] = pa.array([share] * n, pa.float32())
    return pa.table(table)


def query(scores, strategy, **options):
    given = {"n": 99, "som_percentile": None, "camera": CameraRule.none} | options
    return select(scores, QueryOptions(strategy=strategy, **given)).table.to_pandas()


def test_it_selects_confident_disagreement_with_its_reason(scores):
    found = query(scores, RedrockDisagreement())
    names = [NAMES[t] for t in found["TARGETID"]]
    assert set(names) == set(NAMES) - {
        "agreed", "a star of both", "within the prior", "not certain", "no redrock",
    }  # fmt: skip
    for name, reason in zip(names, found["REASON"], strict=True):
        assert CASES[name][-1] in reason
    by_name = dict(zip(names, found["UTILITY"], strict=True))
    assert by_name["template end"] == pytest.approx(1 - 0.4 * 0.7)
    assert by_name["lost"] == pytest.approx(0.6)
    assert by_name["no quasar"] == pytest.approx(0.8 * 0.6)
    assert by_name["join"] == pytest.approx(0.6 * (1 - 0.4 * 0.8 * 0.7))
    assert np.all(found["UTILITY"].between(0, 1)) and names[0] == "template end"
    assert "at the end of the galaxy templates" in found["REASON"][0]
    assert "two cameras join" in found["REASON"][names.index("join")]


def test_the_width_is_a_setting(scores):
    found = query(scores, RedrockDisagreement(width=0.05))
    assert NAMES.index("within the prior") in set(found["TARGETID"])


@pytest.mark.parametrize("kind", Kind)
def test_the_filter_keeps_each_kind(scores, kind):
    expected = {
        Kind.spectype: {"lost", "template end", "no quasar"},
        Kind.redshift: {"redshift", "join"},
        Kind.warning: {"join"},
        Kind.delta_chi2: {"unsure"},
        Kind.template_end: {"template end"},
        Kind.camera_join: {"join"},
    }
    found = query(scores, VoteEntropy(), redrock=[kind])
    assert {NAMES[t] for t in found["TARGETID"]} == expected[kind]
    assert not any("Redrock" in reason for reason in found["REASON"])


def test_control_picks_are_drawn_from_those_that_agree_too(scores):
    options = QueryOptions(
        n=1, som_percentile=None, camera=CameraRule.none, redrock=(Kind.delta_chi2,), control=3
    )
    assert select(scores, options).control_population == len(CASES)


def test_without_redrock_there_is_a_sentence(scores):
    with pytest.raises(InputError, match="has no column Z_RR, which strategy redrock needs"):
        query(scores.drop_columns(["Z_RR"]), RedrockDisagreement())
    options = QueryOptions(1, som_percentile=None, redrock=tuple(Kind), camera=CameraRule.none)
    notes = select(scores.drop_columns(["Z_RR"]), options).notes
    assert any(
        "disagreement with Redrock” was skipped: the scores have no Z_RR" in n for n in notes
    )


def test_the_choice_of_that_name():
    strategy = plugin.create(OmegaConf.load(CONF).strategy, "query.strategy", Strategy)
    assert strategy.name == "redrock" and strategy.utility() == RedrockDisagreement().utility()
