"""What all tests share: the real data, composed configurations, a small survey already run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

if TYPE_CHECKING:
    from qnal.network.network import Network

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("MLFLOW_TRACKING_URI", None)
ROOT = Path(__file__).parents[1]
SHARED = (ROOT / ".." / "shared" / "data").resolve()

# A survey, an ensemble and a map as small as they can be and still do something.
TINY = [
    "data=mock",
    "train=small",
    "data.mock.labelled=300",
    "data.mock.boss=100",
    "data.mock.pool=200",
    "data.mock.fibres=50",
    "data.mock.snr_min=2",
    "network.filters=16",
    "train.epochs=1",
    "train.min_steps=200",
    "ensemble.n=3",
    "ensemble.line_threshold=0.6",
    "som.shape=[4,4]",
    "som.epochs=5",
    "query.n=10",
    "executor=serial",
]

# Tests that use these fixtures or run whole stages are marked `process`; others say it themselves.
PROCESS_FIXTURES = {"pipeline", "qnal_command"}
PROCESS_FOLDERS = {"stages"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures that they use and the folder they are in."""
    for item in items:
        if PROCESS_FOLDERS.intersection(item.path.relative_to(ROOT).parts) or (
            PROCESS_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        ):
            item.add_marker("process")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the real data is absent: no ../shared/data beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Overrides of a survey that runs in seconds."""
    return TINY


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """Compose the configuration with overrides; Hydra's global state stays as it was."""

    def compose_with(*overrides: str) -> DictConfig:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return compose("config", list(overrides))

    return compose_with


@pytest.fixture(scope="session")
def qnal_job(composed: Callable[..., DictConfig]) -> Callable[..., tuple[int, dict]]:
    """Run a job in this process; returns the exit code and ``summary.json``."""
    from qnal.cli import run

    def job(folder: Path, *overrides: str) -> tuple[int, dict]:
        code = run(composed(*overrides), folder)
        return code, json.loads((folder / "summary.json").read_text())

    return job


@pytest.fixture(scope="session")
def qnal_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``qnal`` as a user does, in a process of its own."""

    def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qnal", *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return command


@pytest.fixture(scope="session")
def pipeline(
    tmp_path_factory: pytest.TempPathFactory, qnal_job: Callable[..., tuple[int, dict]]
) -> tuple[Path, dict]:
    """A tiny pipeline that has run: its working folder and its summary. Do not change it."""
    work = tmp_path_factory.mktemp("pipeline")
    code, summary = qnal_job(work / "job", *TINY, "stage=pipeline", f"work_dir={work}")
    assert code == 0, summary
    return work, summary


@pytest.fixture(scope="session")
def random_network() -> Callable[..., "Network"]:
    """Networks of a structure with random weights, batch norms and biases among them."""
    from qnal.network.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
    from qnal.network.network import BatchNorm
    from qnal.network.structure import Structure
    from qnal.spectra.grid import named_grid

    def make(seed: int = 0, grid: str = "log", **structure: object) -> "Network":
        rng = np.random.default_rng(seed)
        given = {"lines": QUASARNET_LINES, "bal_lines": QUASARNET_BAL_LINES, "filters": 6}
        network = Structure(named_grid(grid), **given | structure).initial(rng)

        def drawn(size: int, low: float, high: float) -> np.ndarray:
            return rng.uniform(low, high, size).astype(np.float32)

        def norm(size: int) -> BatchNorm:
            bounds = ((0.5, 1.5), (-0.3, 0.3), (-0.2, 0.2), (0.3, 2.0))
            return BatchNorm(*(drawn(size, *b) for b in bounds))

        return replace(
            network,
            convs=tuple(
                replace(c, bias=drawn(len(c.bias), -0.1, 0.1), norm=norm(len(c.bias)))
                for c in network.convs
            ),
            dense_bias=drawn(len(network.dense_bias), -0.1, 0.1),
            dense_norm=norm(len(network.dense_bias)),
            head_bias=drawn(network.head_bias.size, -0.5, 0.5).reshape(network.head_bias.shape),
        )

    return make


@pytest.fixture(scope="session")
def peer_networks(shared_data: Path) -> dict[str, "Network"]:
    """QuasarNP's two trained test networks, by their names in the goldens."""
    from qnal.network.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
    from qnal.network.weights import read_network

    files = {"net4": "test_weights.h5", "net6": "test_weights_6_layer.h5"}
    return {
        name: read_network(shared_data / "quasarnet" / file, QUASARNET_LINES, QUASARNET_BAL_LINES)
        for name, file in files.items()
    }


@pytest.fixture(scope="session")
def peer_answers(shared_data: Path) -> dict[str, np.ndarray]:
    """Answers of the peers on all real spectra, rows of DESI and BOSS in one array a name."""
    boss = np.load(shared_data / "golden" / "quasarnp_boss.npz")
    desi = np.load(shared_data / "golden" / "quasarnp_desi.npz")
    coadds = sorted({name.split("/")[0] for name in desi})
    return {
        name: np.concatenate(
            [*(desi[f"{coadd}/{name}"] for coadd in coadds), boss[name]],
            axis=0 if name == "X" or boss[name].ndim == 1 else 1,
        )
        for name in boss
    }


@pytest.fixture(scope="session")
def spectra() -> np.ndarray:
    """Numbers in the shape of seven renormalised spectra on the log grid."""
    return np.random.default_rng(5).normal(size=(7, 443)).astype(np.float32)


@pytest.fixture(scope="session")
def out_of_bag_table() -> pd.DataFrame:
    """Something to store beside a member's weights."""
    return pd.DataFrame({"INDEX": [0], "TARGETID": [7], "DECIDING": [0.5], "Z_BEST": [1.0]})
