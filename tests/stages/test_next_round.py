"""The learning curve of real rounds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.votes import Thresholds
from qnal.learning.forecast import forecast
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.structure import Structure
from qnal.spectra.grid import named_grid
from qnal.stages.next_round import next_round

STRUCTURE = Structure(named_grid("log"), ("LYA",), ())
RECIPE = MemberRecipe(STRUCTURE, Hyperparameters(), Thresholds(), Bootstrap.targets, 5, 1)


def after(work, targets, recipe=RECIPE, **metrics):
    """The forecast after a round with this number of targets, each with two spectra."""
    table = pd.DataFrame({"TARGETID": np.arange(targets).repeat(2)})
    labelled = LabelledSet(np.zeros((2 * targets, 1), np.float32), table)
    description = EnsembleDescription(fingerprint=f"{recipe.seed} {targets}")
    return next_round(work, recipe, description, labelled, {"members": 10} | metrics, 50)


def test_rounds_make_a_curve(tmp_path):
    first = after(tmp_path, 100, oob_completeness=0.5)
    assert first.forecast is None and first.notes == []
    after(tmp_path, 100, replace(RECIPE, seed=6), oob_completeness=0.9)  # another curve
    second = after(tmp_path, 200, oob_completeness=0.6)
    expected = forecast([100, 200], [0.5, 0.6], 50)
    assert second.forecast == expected
    assert second.metrics["next_batch_gain"] == pytest.approx(0.1 * np.log(250 / 200) / np.log(2))
    assert "out of bag" in second.notes[0] and "control picks" in second.notes[0]
    again = after(tmp_path, 200, oob_completeness=0.6)  # the same job again
    assert again.forecast == expected
    assert len(pd.read_csv(tmp_path / "learning_curve.csv")) == 3
    axes = second.figure().axes[0]
    drawn = [xy for line in axes.lines for xy in line.get_xydata().tolist()]
    drawn += [xy for c in axes.collections for xy in c.get_offsets().tolist()]
    assert [100, 0.5] in drawn and [200, 0.6] in drawn


def test_control_labels_are_preferred(tmp_path):
    for targets, completeness in ((100, 0.3), (200, 0.4), (300, 0.45)):
        found = after(tmp_path, targets, oob_completeness=0.9, control_completeness=completeness)
    assert found.forecast == forecast([100, 200, 300], [0.3, 0.4, 0.45], 50)
    assert "on control labels" in found.notes[0]
