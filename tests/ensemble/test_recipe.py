"""Identity of an ensemble: what names another one, and what does not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qnal.ensemble import recipe as recipe_module
from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.prior import Prior, PriorKind
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.hyperparameters import Hyperparameters, Schedule
from qnal.network.network import OffsetActivation, Padding
from qnal.network.precision import Precision
from qnal.network.structure import Structure
from qnal.spectra.grid import named_grid

DIGEST = "a" * 64  # stands for the fingerprint of a labelled set
RECIPE = MemberRecipe(
    Structure(named_grid("log"), QUASARNET_LINES, QUASARNET_BAL_LINES),
    Hyperparameters(precision=Precision.float32),
    Thresholds(),
    Bootstrap.targets,
    seed=91701,
    threads=1,
)


def changed(**values):
    """The recipe with other values, wherever the fields are."""
    recipe = RECIPE
    for part in ("structure", "hyperparameters"):
        owner = getattr(recipe, part)
        own = {k: v for k, v in values.items() if hasattr(owner, k)}
        recipe = replace(recipe, **{part: replace(owner, **own)})
        values = {k: v for k, v in values.items() if k not in own}
    return replace(recipe, **values)


def test_golden():
    assert RECIPE.fingerprint(DIGEST) == (
        "4985cd8df43563eb4f6ae9dacce0f388687bb31ab599b965cfcd94f915ad7fd9"
    )


@pytest.mark.parametrize(
    "other",
    [
        {"grid": named_grid("linear")},
        {"lines": QUASARNET_LINES[:3]},
        {"bal_lines": ()},
        {"layers": 5},
        {"filters": 99},
        {"width": 8},
        {"stride": 3},
        {"units": 50},
        {"boxes": 12},
        {"padding": Padding.same},
        {"offset_activation": OffsetActivation.sigmoid},
        {"dropout": 0.1},
        {"dropout": 0.0},
        {"reg_conv": 1e-3},
        {"reg_dense": 1e-3},
        {"epochs": 9},
        {"min_steps": 0},
        {"batch_size": 32},
        {"learning_rate": 1e-3},
        {"amsgrad": True},
        {"schedule": Schedule.cosine},
        {"precision": Precision.bfloat16},
        {"bootstrap": Bootstrap.rows},
        {"seed": 1},
        {"prior": Prior(PriorKind.mix)},
    ],
    ids=str,
)
def test_what_changes_the_members_names_another_ensemble(other):
    assert changed(**other).fingerprint(DIGEST) != RECIPE.fingerprint(DIGEST)


def test_labelled_set_and_initial_ensemble_name_another_ensemble():
    known = {
        RECIPE.fingerprint(DIGEST),
        RECIPE.fingerprint("b" * 64),
        RECIPE.fingerprint(DIGEST, initial="c" * 64),
        RECIPE.fingerprint(DIGEST, initial="d" * 64),
    }
    assert len(known) == 4


@pytest.mark.parametrize(
    "other",
    [
        {"thresholds": Thresholds(0.6, 2, 2.5)},
        {"threads": 4},
        {"group": 16},
        {"prior": Prior(PriorKind.none, 50, 10)},
        {"prior": Prior(PriorKind.pretrain)},  # what training starts from names the ensemble
        {"padding": Padding.valid},  # what auto stands for with four layers
    ],
    ids=str,
)
def test_what_does_not_change_the_members_names_the_same_ensemble(other):
    assert changed(**other).fingerprint(DIGEST) == RECIPE.fingerprint(DIGEST)


def test_neutral_values_are_left_out(monkeypatch):
    """So a key that is added later, at its neutral value, keeps the names of all ensembles."""
    hashed = []
    monkeypatch.setattr(recipe_module, "fingerprint", lambda identity: hashed.append(identity))
    RECIPE.fingerprint(DIGEST)
    changed(reg_conv=1e-3, amsgrad=True).fingerprint(DIGEST)
    assert {"initial", "reg_conv", "reg_dense", "amsgrad", "width"}.isdisjoint(hashed[0])
    assert hashed[1] == hashed[0] | {"reg_conv": 1e-3, "amsgrad": True}


def labelled_set(**columns):
    table = pd.DataFrame(
        {
            "SOURCE": "desi",
            "TARGETID": [1, 2, 3, 4],
            "EXPID": [5, 5, 5, 5],
            "FILE": "coadd.fits",
            "ROW": [0, 1, 2, 3],
            "LABEL": np.array([Label.STAR, Label.QSO_LZ, Label.QSO_HZ, Label.BAD], np.int8),
            "Z": [0.0, 1.5, 2.5, 2.5],
            "BAL": np.array([0, 1, -1, 0], np.int8),
        }
    ).assign(**columns)
    return LabelledSet(np.arange(8, dtype=np.float32).reshape(4, 2), table)


def test_high_z_and_paths_do_not_change_the_labelled_set(tmp_path):
    expected = labelled_set().fingerprint()
    high = np.array([Label.STAR, Label.QSO_HZ, Label.QSO_HZ, Label.BAD], np.int8)
    low = np.array([Label.STAR, Label.QSO_LZ, Label.QSO_LZ, Label.BAD], np.int8)
    assert labelled_set(LABEL=high).fingerprint() == expected
    assert labelled_set(LABEL=low, FILE="elsewhere.fits").fingerprint() == expected
    # The copy for worker processes is written once.
    labelled_set(LABEL=high).write(tmp_path)
    before = (tmp_path / "labels.parquet").stat().st_mtime_ns
    labelled_set(LABEL=low).write(tmp_path)
    assert (tmp_path / "labels.parquet").stat().st_mtime_ns == before
    assert LabelledSet.read(tmp_path).fingerprint() == expected


@pytest.mark.parametrize(
    "other",
    [
        {"LABEL": np.array([Label.GALAXY, Label.QSO_LZ, Label.QSO_HZ, Label.BAD], np.int8)},
        {"LABEL": np.array([Label.STAR, Label.QSO_LZ, Label.BAD, Label.BAD], np.int8)},
        {"Z": [0.0, 1.6, 2.5, 2.5]},
        {"BAL": np.array([0, 1, 0, 0], np.int8)},
        {"TARGETID": [1, 2, 3, 5]},
        {"SOURCE": "boss"},
    ],
    ids=str,
)
def test_labels_change_the_labelled_set(other):
    assert labelled_set(**other).fingerprint() != labelled_set().fingerprint()
