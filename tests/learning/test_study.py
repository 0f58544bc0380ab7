"""What a study checks before it starts, and what it costs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.votes import Thresholds
from qnal.errors import ConfigError
from qnal.labels.label import BadRows
from qnal.learning.cost import forward_operations, seconds_per_round
from qnal.learning.loop_set import LoopSet
from qnal.learning.oracle import Oracle, OracleKind
from qnal.learning.plan import Plan
from qnal.learning.round_folder import RoundRecord, RoundStore
from qnal.learning.round_task import Round, RoundTask
from qnal.learning.study import Study
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.structure import Structure
from qnal.query.strategies.random import Random
from qnal.query.strategies.vote_entropy import VoteEntropy
from qnal.spectra.grid import named_grid


class ByRedrock(VoteEntropy):
    needs = ("Z_REDROCK",)


@pytest.fixture
def task(tmp_path):
    structure = Structure(named_grid("log"), tuple(QUASARNET_LINES), tuple(QUASARNET_BAL_LINES))
    recipe = MemberRecipe(structure, Hyperparameters(), Thresholds(), Bootstrap.targets, 5, 1)
    store = RoundStore(tmp_path / "rounds")
    return RoundTask(tmp_path, store, recipe, 4, Oracle(), BadRows.negative, True, "set")


def plan(**strategies) -> Plan:
    return Plan({"random": Random()} | strategies, 4, 100, 50, 3, 0.3)


def test_a_strategy_that_needs_other_data_is_refused(task, labelled):
    Study(plan(a=VoteEntropy()), task, LoopSet(labelled, 5))
    with pytest.raises(ConfigError, match="redrock needs Z_REDROCK, which simulated rounds"):
        Study(plan(redrock=ByRedrock()), task, LoopSet(labelled, 5))


def test_more_labels_than_there_are_targets(task, labelled):
    greedy = replace(plan(), batch=501)
    with pytest.raises(ConfigError, match="4 batches of 501 are 2104 targets, but only 2100 are"):
        Study(greedy, task, LoopSet(labelled, 5))
    growing = replace(plan(), batch=134, growth=2)
    with pytest.raises(ConfigError, match="4 batches of 134 to 1072 are 2110 targets, but only"):
        Study(growing, task, LoopSet(labelled, 5))
    Study(replace(growing, batch=133), task, LoopSet(labelled, 5))
    single = replace(plan(), rounds=0, seed_labels=2101)
    with pytest.raises(ConfigError, match="2101 seed labels are 2101 targets, but only 2100 are"):
        Study(single, task, LoopSet(labelled, 5))


def test_what_a_round_is_named_by(task):
    start = Round(0, (1, 2, 3))
    name = task.fingerprint(start)
    assert name == replace(task, labelled=task.labelled / "moved").fingerprint(start)
    others = [
        task.fingerprint(Round(1, (1, 2, 3))),
        task.fingerprint(Round(0, (1, 2, 4))),
        replace(task, members=5).fingerprint(start),
        replace(task, oracle=Oracle.of(OracleKind.noisy)).fingerprint(start),
        replace(task, bad=BadRows.drop).fingerprint(start),
        replace(task, recipe=replace(task.recipe, seed=6)).fingerprint(start),
        task.fingerprint(replace(start, start=name)),
        task.fingerprint(replace(start, start="ab" * 32)),
    ]
    assert len({name, *others}) == 9


def test_the_first_round_has_the_same_name_with_warm_starts(task):
    first = Round(0, (1, 2, 3))
    assert replace(task, warm_start=True).fingerprint(first) == task.fingerprint(first)


def test_a_round_is_stored_whole(task):
    store, scores = task.store, pd.DataFrame({"INDEX": np.arange(3)})
    record = RoundRecord("ab" * 32, "e", 10, 4, 600, 20.0, 1.0, False, [])
    assert store.record(record.fingerprint) is None
    store.add(record, scores)
    assert store.record(record.fingerprint) == record
    assert store.scores(record.fingerprint).equals(scores)
    (store.folder(record.fingerprint) / "round.json").write_text("{")
    assert store.record(record.fingerprint) is None
    store.add(record, scores)  # replaces a damaged one
    assert store.records() == [record]
    assert [path.name for path in store.path.iterdir()] == ["ab" * 8]


def test_cost(task):
    # 35 million operations per spectrum: the number that the documentation of the network gives.
    assert forward_operations(task.recipe) == pytest.approx(35e6, rel=0.02)
    estimate = seconds_per_round(task.recipe, 4, 600, task.store)
    assert estimate > 6  # the time for compiling; the rest depends on the load of the machine
    for k, seconds in enumerate((10.0, 20.0, 90.0)):
        record = RoundRecord(f"{k}" * 64, "e", 10, 4, 610, seconds, 1.0, False, [])
        task.store.add(record, pd.DataFrame({"INDEX": [0]}))
    assert seconds_per_round(task.recipe, 4, 600, task.store) == 21
    assert seconds_per_round(task.recipe, 8, 600, task.store) != 21
