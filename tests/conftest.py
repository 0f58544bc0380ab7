"""What all tests share: the real data, composed configurations, a small survey already run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fitsio
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import settings
from omegaconf import DictConfig

from qnal.spectra.spectra_file import SpectraFile

if TYPE_CHECKING:
    from qnal.ensemble.member_record import MemberRecord
    from qnal.network.network import Network

# Hypothesis fails an example that takes 0.2 s, such as a first one that imports libraries.
settings.register_profile("qnal", deadline=None)
settings.load_profile("qnal")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("MLFLOW_TRACKING_URI", None)
ROOT = Path(__file__).parents[1]
MOCK_DATA = Path(__file__).parent / "data"
REAL_DATA = Path(os.environ.get("QNAL_TEST_DATA") or ROOT / "../shared/data").resolve()

# A survey, an ensemble and a map as small as they can be and still do something.
TINY = [
    "data=mock",
    "train=short",
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
# Tests that train or run networks in this process share one setting of TensorFlow's threads.
NETWORK_FOLDERS = {"ensemble", "inference", "network", "stages"}
# Modules of tests/stages that look at the figures; the others save none, which halves their time.
FIGURES = {"test_pipeline", "test_query"}


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark tests by the fixtures that they use and the folder they are in."""
    for item in items:
        folders = item.path.relative_to(ROOT).parts
        if PROCESS_FOLDERS.intersection(folders) or (
            PROCESS_FIXTURES.intersection(item.fixturenames)
        ):
            item.add_marker("process")
        if NETWORK_FOLDERS.intersection(folders) or "qnal_job" in item.fixturenames:
            item.fixturenames.insert(0, "one_thread")
        if "stages" in folders and item.path.stem not in FIGURES:
            item.fixturenames.append("without_figures")  # after what sets up the test


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not rendered: their files are empty."""
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda self, path, **options: Path(path).touch())


@pytest.fixture(scope="session")
def one_thread() -> None:
    """TensorFlow with one thread, as conf/train has it."""
    from qnal.threads import use_threads

    use_threads(1)


def folder_of_data(source: str) -> Path:
    if source == "mock":
        return MOCK_DATA
    if not REAL_DATA.is_dir():
        pytest.skip(f"QNAL_TEST_DATA: no folder with real spectra ({REAL_DATA})")
    return REAL_DATA


@pytest.fixture(scope="session")
def mock_data() -> Path:
    """Mock spectra, random networks and what the peers answer for them (see make_goldens.py)."""
    return folder_of_data("mock")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real spectra and trained networks, ``QNAL_TEST_DATA``; the test is skipped without them."""
    return folder_of_data("real")


@pytest.fixture(scope="session", params=["mock", "real"])
def peer_data(request: pytest.FixtureRequest) -> Path:
    """Each of the two folders in turn; their layout is the same, FITS files may be gzipped."""
    return folder_of_data(request.param)


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
def no_waiting_for_the_disk() -> None:
    """Files and commits in this process are not flushed: no test survives a power failure."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    os.fsync = lambda file: None
    event.listen(
        Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF")
    )


@pytest.fixture(scope="session")
def qnal_job(
    composed: Callable[..., DictConfig], no_waiting_for_the_disk: None
) -> Callable[..., tuple[int, dict]]:
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
) -> Iterator[tuple[Path, dict]]:
    """A tiny pipeline that has run: its working folder and its summary.

    All tests share it, those of other test processes too, and none may change it;
    ``pipeline_copy`` is there for those that would.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    work, done = shared / "pipeline", shared / "pipeline" / "job" / "summary.json"
    with FileLock(shared / "pipeline.lock"):
        if not done.exists():
            qnal_job(work / "job", *TINY, "stage=pipeline", f"work_dir={work}")
    summary = json.loads(done.read_text())
    assert summary["status"] == "done", summary
    before = made_by_stages(work)
    yield work, summary
    assert made_by_stages(work) == before, "a test has changed the pipeline that all share"


def made_by_stages(work: Path) -> tuple[str, list[Path]]:
    """What later stages start from: the latest results and the folders of all."""
    kinds = ("ensembles", "soms", "scores", "mock", "labels")
    folders = [folder for kind in kinds for folder in sorted((work / kind).glob("*"))]
    return (work / "latest.json").read_text(), folders


@pytest.fixture
def pipeline_copy(pipeline: tuple[Path, dict], tmp_path: Path) -> Path:
    """A copy of the working folder of the pipeline, for tests that write into it."""
    return Path(shutil.copytree(pipeline[0], tmp_path / "pipeline"))


@pytest.fixture(scope="session")
def random_network() -> Callable[..., "Network"]:
    """Networks of a structure with random weights, batch norms and biases among them."""
    from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
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
def peer_networks(peer_data: Path) -> dict[str, "Network"]:
    """Two networks, of 4 and 6 layers, by their names in the goldens."""
    from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
    from qnal.network.weights import read_network

    files = {"net4": "test_weights.h5", "net6": "test_weights_6_layer.h5"}
    return {
        name: read_network(peer_data / "quasarnet" / file, QUASARNET_LINES, QUASARNET_BAL_LINES)
        for name, file in files.items()
    }


@pytest.fixture(scope="session")
def peer_answers(peer_data: Path) -> dict[str, np.ndarray]:
    """Answers of the peers on all spectra, rows of DESI and BOSS in one array per name."""
    boss = np.load(peer_data / "golden" / "quasarnp_boss.npz")
    desi = np.load(peer_data / "golden" / "quasarnp_desi.npz")
    coadds = sorted({name.split("/")[0] for name in desi})
    return {
        name: np.concatenate(
            [*(desi[f"{coadd}/{name}"] for coadd in coadds), boss[name]],
            axis=0 if name == "X" or boss[name].ndim == 1 else 1,
        )
        for name in boss
        if f"{coadds[0]}/{name}" in desi
    }


@pytest.fixture(scope="session")
def spectra() -> np.ndarray:
    """Numbers in the shape of seven renormalised spectra on the log grid."""
    return np.random.default_rng(5).normal(size=(7, 443)).astype(np.float32)


@pytest.fixture(scope="session")
def out_of_bag_table() -> pd.DataFrame:
    """Something to store beside a member's weights."""
    return pd.DataFrame({"INDEX": [0], "TARGETID": [7], "DECIDING": [0.5], "Z_BEST": [1.0]})


@pytest.fixture(scope="session")
def a_record() -> "Callable[[int], MemberRecord]":
    """Records to store beside members that were not trained."""

    from qnal.ensemble.member_record import MemberRecord

    def make(member: int) -> MemberRecord:
        return MemberRecord(
            member=member,
            seed=[1, member],
            attempt=0,
            threads=1,
            group=1,
            versions={"numpy": "2.0"},
            epochs=2,
            bag_rows=10,
            oob_rows=1,
            loss=[2.0, 1.0],
            oob={"completeness": 0.5, "purity": None},
        )

    return make


WAVE = {
    "B": np.arange(3600.0, 5800.1, 8.0),
    "R": np.arange(5760.0, 7620.1, 8.0),
    "Z": np.arange(7520.0, 9824.1, 8.0),
}
# Beyond 2**53, where neighbours are one and the same number for a float.
FIRST_TARGETID = 39633559463397282


@dataclass
class CoaddParts:
    """HDUs of a coadd by name, to be changed before it is written; None leaves one out."""

    hdus: dict[str, Any]
    header: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> SpectraFile:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fitsio.FITS(str(path), "rw", clobber=True) as out:
            out.write(None)
            out[0].write_keys(self.header)
            for name, content in self.hdus.items():
                if content is not None:
                    out.write(content, extname=name)
        return SpectraFile(path.name, path)


@pytest.fixture(scope="session")
def coadd_parts() -> Callable[..., CoaddParts]:
    """Parts of a plausible coadd: a slope, a line and noise in each row."""

    def make(rows: int = 3, seed: int = 0, **columns: Any) -> CoaddParts:
        rng = np.random.default_rng(seed)
        given = {"TARGETID": FIRST_TARGETID + np.arange(rows, dtype=np.int64)} | columns
        kinds = [(name, np.asarray(v).dtype.str) for name, v in given.items()]
        fibermap = np.zeros(rows, dtype=kinds)
        for name, values in given.items():
            fibermap[name] = values
        hdus: dict[str, Any] = {"FIBERMAP": fibermap}
        for camera, wave in WAVE.items():
            signal = 1 + wave / 9000 + 5 * np.exp(-0.5 * ((wave - 6600) / 60) ** 2)
            shape = (rows, len(wave))
            hdus[f"{camera}_WAVELENGTH"] = wave
            hdus[f"{camera}_FLUX"] = (signal + rng.normal(0, 0.3, shape)).astype(np.float32)
            hdus[f"{camera}_IVAR"] = rng.uniform(5, 15, shape).astype(np.float32)
            hdus[f"{camera}_MASK"] = np.zeros(shape, np.int32)
        return CoaddParts(hdus)

    return make


@pytest.fixture(scope="session")
def golden(peer_data: Path) -> Path:
    """Answers of the reference, QuasarNP and SOMVIZ."""
    return peer_data / "golden"
