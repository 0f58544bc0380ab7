"""Rounds that continue from the networks of the round before."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.prior import Prior, PriorKind
from qnal.ensemble.prior_knowledge import PriorKnowledge
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.votes import Thresholds
from qnal.errors import InputError
from qnal.labels.label import BadRows
from qnal.learning.oracle import Oracle
from qnal.learning.round_folder import RoundStore
from qnal.learning.round_task import Round, RoundTask
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.structure import Structure
from qnal.spectra.grid import named_grid

pytestmark = pytest.mark.process

GRID = named_grid("log")
# With this learning rate, kernels stay what they were at the start.
AT_REST = Hyperparameters(epochs=1, min_steps=5, batch_size=8, learning_rate=1e-12)
RECIPE = MemberRecipe(
    Structure(GRID, ("LYA", "CIV(1548)"), (), layers=2, filters=4, units=5),
    AT_REST,
    Thresholds(),
    Bootstrap.targets,
    91701,
    1,
    prior=Prior(PriorKind.none, spectra=50, weight=16),
)
FIRST, SECOND = tuple(range(12)), tuple(range(20))


@pytest.fixture(scope="module")
def made(labelled, tmp_path_factory, one_thread):
    """A task with warm starts, and the folder of the spectra that its prior mixes in."""
    path = tmp_path_factory.mktemp("warm")
    x = np.random.default_rng(8).normal(size=(120, len(GRID))).astype(np.float32)
    table = labelled.table.iloc[:120].reset_index(drop=True)
    LabelledSet(x[:80], table.iloc[:80]).write(path / "labelled")
    LabelledSet(x[80:], table.iloc[80:].reset_index(drop=True)).write(path / "prior")
    knowledge = {
        PriorKind.none: PriorKnowledge(),
        PriorKind.mix: PriorKnowledge(path / "prior"),
    }
    task = RoundTask(
        path / "labelled",
        RoundStore(path / "rounds"),
        RECIPE,
        2,
        Oracle(),
        BadRows.negative,
        True,
        "set",
        knowledge,
        warm_start=True,
    )
    return task, task(Round(0, FIRST)).fingerprint


def kernels(task, name, member=0):
    folder = EnsembleFolder(task.store.networks(name))
    return folder.read((), ()).networks[member].head_kernel


@pytest.mark.parametrize("prior", [None, PriorKind.mix])
def test_members_continue(made, prior):
    task, _ = made
    first = task(Round(0, FIRST, prior)).fingerprint
    warm = task(Round(0, SECOND, prior, first))
    cold = task(Round(1, SECOND, prior))
    for member in (0, 1):
        before = kernels(task, first, member)
        np.testing.assert_allclose(kernels(task, warm.fingerprint, member), before, atol=1e-9)
        assert np.abs(kernels(task, cold.fingerprint, member) - before).max() > 0.01
    assert np.abs(kernels(task, first, 1) - kernels(task, first, 0)).max() > 0.01
    # Mock spectra are mixed in as in the first round: 40 labelled spectra, 16 of the prior.
    assert warm.steps == (7 if prior else 5)
    assert warm.steps == cold.steps


def test_networks_are_kept_without_anything_else(made):
    task, first = made
    kept = {
        p.relative_to(task.store.folder(first)).as_posix()
        for p in task.store.folder(first).rglob("*.*")
    }
    members = {"networks/members/0000.h5", "networks/members/0001.h5"}
    assert kept == {"scores.parquet", "round.json", "networks/ensemble.json", *members}
    assert not task.store.training_folder(first).exists()


def test_only_the_first_round_starts_from_pre_trained_networks(made, tmp_path):
    task, first = made
    pre_trained = tmp_path / "pre-trained"
    shutil.copytree(task.store.networks(first), pre_trained)
    knowledge = {PriorKind.pretrain: PriorKnowledge(initial=pre_trained)}
    task = replace(task, store=RoundStore(tmp_path / "rounds"), knowledge=knowledge)
    start = task(Round(0, SECOND, PriorKind.pretrain)).fingerprint
    expected = kernels(made[0], first)
    np.testing.assert_allclose(kernels(task, start), expected, atol=1e-9)
    shutil.rmtree(pre_trained)
    then = task(Round(0, SECOND, PriorKind.pretrain, start)).fingerprint
    np.testing.assert_allclose(kernels(task, then), expected, atol=1e-9)


def test_a_round_without_its_networks_is_made_again(made, tmp_path):
    task, _ = made
    task = replace(task, store=RoundStore(tmp_path), warm_start=False)
    start = Round(0, FIRST)
    name = task(start).fingerprint
    assert not task.store.has_networks(name)
    scores, written = task.store.scores(name), (task.store.folder(name) / "round.json").stat()
    warm = replace(task, warm_start=True)
    assert task.record(start) is not None
    assert warm.record(start) is None
    with pytest.raises(InputError, match="there is no such folder"):
        warm(Round(0, SECOND, start=name))
    warm(start)
    assert warm.store.has_networks(name)
    again = (task.store.folder(name) / "round.json").stat()
    assert again.st_mtime_ns > written.st_mtime_ns
    pd.testing.assert_frame_equal(task.store.scores(name), scores, atol=1e-4)
    assert warm(start) == task(start)
    assert (task.store.folder(name) / "round.json").stat().st_mtime_ns == again.st_mtime_ns


def test_a_member_that_failed_stays_away(made, tmp_path):
    task, first = made
    store = RoundStore(tmp_path)
    ensemble = EnsembleFolder(tmp_path / "ensemble")
    shutil.copytree(task.store.networks(first), ensemble.path)
    description = ensemble.description()
    replace(description, members=description.members[1:]).write(ensemble.path / "ensemble.json")
    store.add(task.store.record(first), task.store.scores(first), ensemble)
    then = replace(task, store=store)(Round(0, SECOND, start=first))
    assert then.members == 1
    assert then.failed == ["member 0: it could not be trained in an earlier round"]
    after = EnsembleFolder(store.networks(then.fingerprint))
    assert [m.member for m in after.description().members] == [1]
    np.testing.assert_allclose(
        after.read((), ()).networks[0].head_kernel, kernels(task, first, 1), atol=1e-9
    )
