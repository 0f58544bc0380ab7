"""The scripts of docs/learning.md on data with known answers."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qnal
from qnal.ensemble.read_labelled import read_boss
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import BadRows

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.fixture(scope="module")
def in_box():
    return runpy.run_path(str(EXPERIMENTS / "redshift_in_box.py"))


@pytest.mark.parametrize("pull", [0.0, 0.2])
def test_a_pull_towards_the_centres_is_found(in_box, pull):
    rng = np.random.default_rng(2)
    box, offset = rng.integers(0, 13, 3000), rng.uniform(0.05, 0.95, 3000)
    predicted = box + 0.5 + (1 - pull) * (offset - 0.5) + rng.normal(0, 0.01, 3000)
    table = pd.DataFrame(
        {"TARGETID": np.arange(3000) // 2, "TRUE": box + offset, "PREDICTED": predicted}
    )
    assert in_box["slope"](table, "TRUE") == pytest.approx(-pull, abs=0.01)
    low, high = in_box["interval"](table, "TRUE")
    assert low < -pull < high and high - low < 0.01
    # Offsets times 1 / (1 − pull) are right but for the scatter.
    residual = in_box["corrected"](table, 1 / (1 - pull))
    assert in_box["nmad"](residual) == pytest.approx(0.01 / (1 - pull), rel=0.1)


def test_positions_of_lines(in_box):
    grid = in_box["named_grid"]("log")
    z = grid.wavelength(np.array([len(grid) / 13 * 2.25])) / 1549.06 - 1
    assert in_box["positions"](z, 1549.06, 13, grid) == pytest.approx([2.25])


def test_the_table_of_a_study():
    names = runpy.run_path(str(EXPERIMENTS / "learning_table.py"))
    labels = np.array([100, 200, 400])
    parts = []
    for name, factor in (("random", 1), ("random_mix", 2)):
        for repeat in (0, 1):
            value = 0.1 * np.log2(labels * factor / 100) + 0.3 + 0.02 * repeat
            part = pd.DataFrame({"labels": labels, names["PRIMARY"]: value})
            part[names["Z_RIGHT"]] = value / 2
            parts.append(part.assign(strategy=name, repeat=repeat))
    table = names["rows"](pd.concat(parts)).set_index("")
    assert table.loc["random", "100 labels"] == "0.31 ± 0.01"
    assert table.loc["random_mix", "400 labels"] == "0.61 ± 0.01"
    assert float(table.loc["random_mix", "last, with z right"]) == pytest.approx(0.305, abs=0.006)
    assert table.loc["random_mix", "mean gain"] == "+0.100 ± 0.000"
    assert table.loc["random_mix", "label efficiency"] == "2.0 (2.0 to 2.0)"
    assert names["markdown"](table).count("\n") == 3  # a header, a rule, two rows


@pytest.mark.process
def test_real_spectra(real_data, monkeypatch, capsys):
    """QuasarNP's trained network is above a confidence of 0.5 for all 118 quasars only."""
    script = runpy.run_path(str(EXPERIMENTS / "real_spectra.py"))
    weights = real_data / "quasarnet" / "test_weights_6_layer.h5"
    boss = [real_data / "boss" / name for name in ("dr12_train.fits", "truth_dr12q.fits")]
    ensemble = qnal.load_ensemble(weights, thresholds=Thresholds(0.5))
    labelled = read_boss(boss[:1], boss[1:], ensemble.grid, high_z=2.1, bad=BadRows.drop)
    assert script["counts"](ensemble, labelled) == {
        "quasars": 118, "found": 118, "right_z": 118, "others": 19, "called_quasar": 0,
        "completeness_at_purity_99": 1.0,
    }  # fmt: skip
    monkeypatch.setattr("sys.argv", ["real_spectra.py", str(weights), *map(str, boss)])
    script["main"]()
    assert "19 stars and galaxies: 0 called a quasar" in capsys.readouterr().out
