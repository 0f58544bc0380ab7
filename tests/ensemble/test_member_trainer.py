"""Member k is the same bit for bit, whatever other members are trained and where."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock, Timeout

from qnal.ensemble.bootstrap import Bootstrap, out_of_bag
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.member_trainer import DivergedError, MemberTrainer, groups
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.votes import Thresholds
from qnal.errors import ConfigError
from qnal.labels.label import Label
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.structure import Structure
from qnal.spectra.grid import named_grid
from qnal.threads import use_threads

pytestmark = pytest.mark.process

THREADS = 1


def a_labelled_set():
    rng = np.random.default_rng(0)
    rows = 30
    label = rng.choice([Label.STAR, Label.GALAXY, Label.QSO_LZ, Label.QSO_HZ], rows)
    table = pd.DataFrame(
        {
            "SOURCE": "desi",
            "TARGETID": np.sort(rng.integers(2**60, 2**60 + 18, rows)),
            "EXPID": np.arange(rows),
            "FILE": "coadd.fits",
            "ROW": np.arange(rows),
            "LABEL": label,
            "Z": np.where(label >= Label.QSO_LZ, rng.uniform(0.5, 3.5, rows), 0.0),
            "BAL": rng.integers(-1, 2, rows),
        }
    )
    return LabelledSet(rng.normal(size=(rows, 443)).astype(np.float32), table)


def a_trainer(path, **options):
    """Also called in a fresh process, from the source of this module."""
    hyperparameters = {"epochs": 2, "min_steps": 0, "batch_size": 8, "amsgrad": True}
    hyperparameters |= options.pop("schedule", {})
    structure = Structure(
        named_grid("log"), ("LYA", "CIV(1548)"), ("CIV(1548)",), layers=2, filters=4, units=5
    )
    recipe = MemberRecipe(
        structure,
        Hyperparameters(**hyperparameters),
        Thresholds(),
        Bootstrap.targets,
        91701,
        THREADS,
        options.get("group", 1),
    )
    return MemberTrainer(recipe, options.get("labelled") or a_labelled_set(), EnsembleFolder(path))


def content(trainer, k):
    members = trainer.folder.path / "members"
    return [(members / f"{k:04d}{end}").read_bytes() for end in (".h5", ".json", "_oob.parquet")]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Members 0 and 1, trained in order."""
    trainer = a_trainer(tmp_path_factory.mktemp("both"))
    return trainer, [trainer.train([k])[k] for k in (0, 1)]


def test_order_of_training_does_not_matter(both, tmp_path):
    first, _ = both
    other = a_trainer(tmp_path)
    other.train([1])
    assert content(other, 1) == content(first, 1)
    other.train([0])
    assert content(other, 0) == content(first, 0)
    assert content(other, 0)[0] != content(other, 1)[0]


@pytest.mark.slow
def test_in_a_fresh_process(both, tmp_path):
    trainer, _ = both
    script = (
        f"import runpy, pathlib; names = runpy.run_path({__file__!r});"
        f"names['a_trainer'](pathlib.Path({str(tmp_path)!r})).train([1])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    members = tmp_path / "members"
    for end, expected in zip((".h5", ".json", "_oob.parquet"), content(trainer, 1), strict=True):
        assert (members / f"0001{end}").read_bytes() == expected


def test_record_and_out_of_bag_predictions(both):
    trainer, records = both
    labelled = a_labelled_set()
    targetid = labelled.column("TARGETID")
    for k, record in enumerate(records):
        assert (record.member, record.seed, record.attempt) == (k, [91701, k], 0)
        assert len(record.loss) == record.epochs == 2
        assert record == trainer.folder.record(k)
        table = trainer.folder.out_of_bag(k)
        lines = np.sort(table.filter(regex="^C_").to_numpy(), axis=1)
        for min_lines in (1, 2):
            deciding = trainer.folder.out_of_bag(k, min_lines)["DECIDING"]
            np.testing.assert_array_equal(deciding, lines[:, -min_lines])
        np.testing.assert_array_equal(table["DECIDING"], lines[:, -1])
        assert record.oob_rows == len(table)
        rows = table["INDEX"].to_numpy()
        assert (targetid[rows] == table["TARGETID"]).all()
        # Either all exposures of a target are out of bag, or none.
        assert set(targetid[rows]).isdisjoint(np.delete(targetid, rows))
        assert ((table["DECIDING"] >= 0) & (table["DECIDING"] <= 1)).all()
        in_bag = np.delete(np.arange(len(targetid)), rows)
        np.testing.assert_array_equal(out_of_bag(targetid, in_bag), rows)


def test_a_trained_member_is_not_trained_again(both, monkeypatch):
    trainer, records = both
    monkeypatch.setattr(trainer.trainer, "fit_group", None)
    assert trainer.train([1]) == {1: records[1]}


def test_members_are_claimed_by_locks(tmp_path, monkeypatch):
    trainer = a_trainer(tmp_path, group=2)
    fit_group, claimed = trainer.trainer.fit_group, []

    def fit(initial):
        for k in (4, 5):
            with pytest.raises(Timeout):
                FileLock(trainer.folder.lock(k), is_singleton=False).acquire(timeout=0)
            claimed.append(k)
        return fit_group(initial)

    monkeypatch.setattr(trainer.trainer, "fit_group", fit)
    assert list(trainer.train([5, 4])) == [5, 4]
    assert claimed == [4, 5]
    for k in (4, 5):  # free again
        FileLock(trainer.folder.lock(k), is_singleton=False).acquire(timeout=0).lock.release()


def test_members_trained_together_equal_those_trained_alone(both, tmp_path):
    """Up to rounding; a member of the group that is trained already is kept."""
    single, records = both
    trainer = a_trainer(tmp_path, group=3)
    trainer.train([2])
    there = content(trainer, 2)
    together = trainer.train([2, 0, 1])
    assert list(together) == [2, 0, 1] and content(trainer, 2) == there
    for k in (0, 1):
        assert together[k].group == 3 and records[k].group == 1
        for name in ("member", "seed", "attempt", "threads", "epochs", "bag_rows", "oob_rows"):
            assert getattr(together[k], name) == getattr(records[k], name)
        np.testing.assert_allclose(together[k].loss, records[k].loss, rtol=1e-5)
        ours, theirs = (t.folder.out_of_bag(k)["DECIDING"] for t in (trainer, single))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_other_members_of_the_group_do_not_matter(tmp_path):
    alone, first, last = (a_trainer(tmp_path / name, group=3) for name in ("a", "b", "c"))
    alone.train([5])
    first.train([5, 3])
    last.train([3, 4, 5])
    assert content(alone, 5) == content(first, 5) == content(last, 5)
    assert content(first, 3) == content(last, 3)
    with pytest.raises(ValueError, match=r"members \[0, 6\] do not belong to one group of 3"):
        first.train([0, 6])


def test_groups_follow_from_the_numbers():
    assert groups([7, 0, 2, 5, 3], 4) == [(0, 2, 3), (5, 7)]
    assert groups([4, 9], 1) == [(4,), (9,)]


def test_a_diverging_member_does_not_affect_its_group(tmp_path, monkeypatch):
    """Member 1's first attempt starts from NaN: it is trained once more, member 0 is not."""
    trainer, undisturbed = (a_trainer(tmp_path / name, group=2) for name in ("nan", "finite"))
    undisturbed.train([0])
    fit_group, attempts = trainer.trainer.fit_group, []

    def fit(initial):
        attempts.append(sorted(initial))
        if len(initial) == 2:
            initial[1].network.head_bias[:] = np.nan
        return fit_group(initial)

    monkeypatch.setattr(trainer.trainer, "fit_group", fit)
    records = trainer.train([0, 1])
    assert attempts == [[0, 1], [1]]
    assert [records[k].attempt for k in (0, 1)] == [0, 1]
    assert content(trainer, 0)[0] == content(undisturbed, 0)[0]


def test_members_that_diverge_twice_are_reported(tmp_path):
    labelled = a_labelled_set()
    labelled.x[:] = np.nan
    trainer = a_trainer(tmp_path, labelled=labelled)
    error = trainer.train([3])[3]
    assert isinstance(error, DivergedError)
    assert str(error).startswith("member 3 has no finite loss in 2 attempts")
    assert trainer.folder.record(3) is None and not trainer.folder.weights(3).exists()


def test_a_finite_loss_does_not_hide_weights_that_are_not(random_network):
    network = random_network()
    assert network.is_finite()
    network.convs[1].norm.mean[2] = np.nan
    assert not network.is_finite()


def test_a_bag_with_all_targets(tmp_path):
    """With a single target, nothing is out of bag; all metrics are undefined."""
    labelled = a_labelled_set()
    labelled.table["TARGETID"] = 7
    trainer = a_trainer(tmp_path, labelled=labelled, schedule={"epochs": 1})
    record = trainer.train([0])[0]
    assert record.oob_rows == 0 and len(trainer.folder.out_of_bag(0)) == 0
    assert set(record.oob.values()) == {None}


def test_out_of_bag_metrics_use_the_high_z_of_the_thresholds(both, tmp_path):
    """The labelled set that workers read does not have the split; weights do not depend on it."""
    _, records = both
    unsplit = a_labelled_set()
    quasar = unsplit.table["LABEL"] >= Label.QSO_LZ
    unsplit.table.loc[quasar, "LABEL"] = Label.QSO_LZ
    split = a_labelled_set()
    high = quasar & (split.table["Z"] >= 2.1)
    split.table.loc[quasar, "LABEL"] = np.where(high[quasar], Label.QSO_HZ, Label.QSO_LZ)
    (first, second) = (
        a_trainer(tmp_path / name, labelled=labelled).train([0])[0]
        for name, labelled in (("unsplit", unsplit), ("split", split))
    )
    assert first == second
    assert first.sha256 == records[0].sha256


def test_another_number_of_threads_is_refused():
    use_threads(THREADS)
    with pytest.raises(ConfigError, match=r"threads=7, but .* already computed with 1"):
        use_threads(7)
