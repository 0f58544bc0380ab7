"""The SOM stage: its fingerprint and its grid."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from qnal.config.validation import validated
from qnal.errors import InputError
from qnal.spectra.grid import Grid, named_grid
from qnal.stages.som import som_fingerprint, som_grid
from qnal.stages.work_folder import WorkFolder

FILES = [("1/coadd-0-1-exp00000001.fits", 1000, 17), ("2/coadd-0-2-exp00000002.fits", 2000, 18)]
GOLDEN = "0ba653d19333ba859a9280a7b233864af9fbdc70ba70ec3c231e97970fc73d83"


def fingerprint(composed, *overrides, grid="log", files=FILES):
    return som_fingerprint(validated(composed(*overrides)), named_grid(grid), files)


def test_fingerprint_is_pinned(composed):
    """If this fails, every SOM fitted so far would be fitted again."""
    assert fingerprint(composed) == GOLDEN


@pytest.mark.parametrize(
    "override",
    ["work_dir=elsewhere", "data.pool=/moved", "ensemble.n=3", "query.n=5", "som.path=/other"],
)
def test_fingerprint_ignores_paths_and_other_stages(composed, override):
    assert fingerprint(composed, override) == GOLDEN


@pytest.mark.parametrize(
    "override",
    ["seed=1", "som.shape=[4,4]", "som.epochs=3", "som.sample=50", "som.wrap=false",
     "som.backend=somviz", "data.use_mask=false"],
)  # fmt: skip
def test_fingerprint_depends_on_what_is_fitted(composed, override):
    assert fingerprint(composed, override) != GOLDEN


def test_fingerprint_depends_on_grid_and_files(composed):
    assert fingerprint(composed, grid="linear") != GOLDEN
    assert fingerprint(composed, files=FILES[:1]) != GOLDEN
    config = validated(composed())
    one, other = (Grid("custom", np.arange(1, 9) * k, False) for k in (100.0, 200.0))
    assert som_fingerprint(config, one, FILES) != som_fingerprint(config, other, FILES)


def test_grid_is_that_of_the_ensemble(composed, mock_data, tmp_path, capsys):
    ensemble = tmp_path / "ensemble"
    ensemble.mkdir()
    shutil.copy(mock_data / "quasarnet" / "test_weights.h5", ensemble / "net_0.h5")
    config = validated(composed(f"work_dir={tmp_path}", "network.grid=linear"))
    assert som_grid(config).name == "linear"
    given = replace(config, ensemble=replace(config.ensemble, path=str(ensemble)))
    assert som_grid(given).name == "log"
    WorkFolder(tmp_path).set_latest("ensemble", ensemble)
    assert som_grid(config).name == "log"
    (ensemble / "net_0.h5").write_bytes(b"broken")
    assert som_grid(config).name == "linear"
    assert "Using network.grid=linear." in capsys.readouterr().err
    with pytest.raises(InputError, match="net_0"):
        som_grid(given)
