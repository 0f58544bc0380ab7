"""Training with prior knowledge: mock spectra in each epoch, and an ensemble to start from."""

from dataclasses import replace

import numpy as np
import pytest

from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.evaluation.evaluate_task import evaluate_ensemble
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.member_trainer import MemberTrainer
from qnal.ensemble.prior import Prior, PriorKind
from qnal.ensemble.prior_knowledge import PriorKnowledge
from qnal.ensemble.prior_spectra import no_labels, prior_set
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.votes import Thresholds
from qnal.errors import InputError
from qnal.labels.label import Label, is_quasar
from qnal.network.fit_state import FitState, InitialState
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.structure import Structure
from qnal.spectra.grid import named_grid

pytestmark = pytest.mark.process

GRID = named_grid("log")
RECIPE = MemberRecipe(
    Structure(GRID, ("LYA", "CIV(1548)"), ("CIV(1548)",), layers=2, filters=4, units=5),
    Hyperparameters(epochs=2, min_steps=0, batch_size=8),
    Thresholds(),
    Bootstrap.targets,
    91701,
    1,
    prior=Prior(PriorKind.mix, 50, 20),
)


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    """Fifty spectra of a prior, and the folder that they are in."""
    folder = tmp_path_factory.mktemp("prior")
    made = prior_set(50, GRID, folder / "survey")
    assert not (folder / "survey").exists()
    made.write(folder)
    return made, PriorKnowledge(folder)


def trainer(path, labelled, knowledge, **changes):
    return MemberTrainer(replace(RECIPE, **changes), labelled, EnsembleFolder(path), knowledge)


def test_spectra_of_the_prior(mock, tmp_path):
    made, _ = mock
    assert len(made) == 50
    assert len(np.unique(made.column("TARGETID"))) == 50
    assert Label.BAD not in made.column("LABEL")
    assert {Label.STAR, Label.GALAXY, Label.QSO_LZ} <= set(made.column("LABEL"))
    # Nobody noted BALs, so that quasars say nothing about them.
    assert (made.column("BAL")[is_quasar(made.column("LABEL"))] == 0).all()
    assert not mock[1].teaches_bal()
    assert prior_set(50, GRID, tmp_path / "again").fingerprint() == made.fingerprint()


@pytest.mark.parametrize("labels", [0, 3, 40])
def test_each_epoch_has_the_sample_and_other_spectra_of_the_prior(labels):
    bag, extra = np.arange(labels).repeat(2)[:labels], np.arange(100, 150)
    initial = InitialState(None, bag, np.random.default_rng(1), extra, 20)
    fit = FitState(initial, Hyperparameters(epochs=3, min_steps=0, batch_size=8))
    assert (fit.rows, fit.epochs) == (labels + 20, 3)
    epochs = []
    for _ in range(3):
        rows = []
        while not rows or not fit.at_epoch_end():
            rows += list(fit.batch())
        epochs.append(np.array(rows))
    for rows in epochs:
        assert sorted(rows[rows < 100]) == sorted(bag)
        assert len(np.unique(rows[rows >= 100])) == (rows >= 100).sum() == 20
    assert set(epochs[0]) != set(epochs[1])


def test_the_prior_is_in_no_out_of_bag_prediction(mock, tmp_path):
    made, knowledge = mock
    labelled = made.subset(np.arange(30))
    record = trainer(tmp_path, labelled, knowledge).train([0])[0]
    table = EnsembleFolder(tmp_path).out_of_bag(0)
    assert record.bag_rows == 30 and record.oob_rows == len(table)
    assert 0 < len(table) < 20 and table["INDEX"].max() < 30
    alone = trainer(tmp_path / "alone", labelled, None, prior=Prior()).train([0])[0]
    assert alone.oob_rows == record.oob_rows  # the same bootstrap sample
    assert alone.sha256 != record.sha256


def test_without_any_labels(mock, tmp_path):
    _, knowledge = mock
    nothing = no_labels(GRID)
    folder = EnsembleFolder(tmp_path / "ensemble")
    description = EnsembleDescription.of(RECIPE, nothing, knowledge.checksum(), True)
    folder.start(description, nothing.table)
    train = trainer(folder.path, nothing, knowledge).train
    records = train([0]) | train([1])
    assert all(r.bag_rows == r.oob_rows == 0 and len(r.loss) == 2 for r in records.values())
    assert records[0].sha256 != records[1].sha256
    report = evaluate_ensemble(folder, description, nothing, 2)
    assert report.metrics["members"] == 2
    assert report.metrics["oob_completeness"] is None
    assert not folder.description().is_calibrated


def test_members_start_from_those_of_an_ensemble(mock, tmp_path):
    made, _ = mock
    labelled = made.subset(np.arange(30))
    first = EnsembleFolder(tmp_path / "first")
    description = EnsembleDescription.of(replace(RECIPE, prior=Prior()), labelled)
    first.start(description, labelled.table)
    train = trainer(first.path, labelled, None, prior=Prior()).train
    for k in (0, 1):
        train([k])
    first.write(description)
    knowledge = PriorKnowledge(initial=first.path)
    at_rest = replace(RECIPE.hyperparameters, learning_rate=1e-12)
    second = EnsembleFolder(tmp_path / "second")
    still = trainer(second.path, labelled, knowledge, hyperparameters=at_rest, prior=Prior())
    for k in (0, 1):
        still.train([k])
    second.write(description)
    before, after = (f.read((), ()).networks for f in (first, second))
    for k in (0, 1):
        np.testing.assert_allclose(after[k].head_kernel, before[k].head_kernel, atol=1e-9)
        np.testing.assert_allclose(after[k].convs[0].kernel, before[k].convs[0].kernel, atol=1e-9)
    # Its identity does not depend on how many members it has.
    name = knowledge.checksum()
    train([2])
    first.write(description)
    assert knowledge.checksum() == name != PriorKnowledge(initial=second.path).checksum()
    assert PriorKnowledge().checksum() is None
    with pytest.raises(InputError, match="it has no member 3 to start from, only 3 others"):
        trainer(second.path, labelled, knowledge, prior=Prior()).train([3])
    deeper = replace(RECIPE.structure, layers=3)
    with pytest.raises(InputError, match="the structure of this network differs"):
        trainer(tmp_path / "third", labelled, knowledge, structure=deeper).train([0])
    # A member that could not be trained does not shift the others.
    for file in first.path.glob("members/0001*"):
        file.unlink()
    first.write(description)
    assert {k: f.name for k, f in knowledge.weight_files().items()} == {0: "0000.h5", 2: "0002.h5"}
    with pytest.raises(InputError, match="no member 1 to start from, only 2 others"):
        knowledge.network(1, before[0])
    bare = tmp_path / "bare"
    bare.mkdir()
    for k in (2, 10):
        (bare / f"net_{k}.h5").write_bytes(first.weights(0).read_bytes())
    numbered = PriorKnowledge(initial=bare).weight_files()
    assert {k: f.name for k, f in numbered.items()} == {0: "net_2.h5", 1: "net_10.h5"}
