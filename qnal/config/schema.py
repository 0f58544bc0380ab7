"""The schema of ``conf/``: what keys there are, and of which types.

The values themselves are in ``conf/``, so a field has no default; their bounds are in
:mod:`qnal.config.validation`.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from qnal.config import plugin
from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import BadRows
from qnal.network.backends.forward import Backend
from qnal.network.network import OffsetActivation, Padding
from qnal.network.precision import Precision
from qnal.query.filters.live_cameras import CameraRule
from qnal.query.filters.som_occupancy import SomCounts
from qnal.query.strategies.strategy import Strategy
from qnal.spectra.file_version import Verify
from qnal.spectra.mock.config import MockConfig


class Stage(StrEnum):
    """What one job does."""

    train = "train"
    som = "som"
    infer = "infer"
    query = "query"
    mock = "mock"
    pipeline = "pipeline"


class DataKind(StrEnum):
    """Where spectra come from."""

    files = "files"
    mock = "mock"


class GridName(StrEnum):
    """Wavelength grids of new networks."""

    log = "log"
    linear = "linear"


class SomBackend(StrEnum):
    """What fits a map."""

    qnal = "qnal"
    somviz = "somviz"


class TrackingKind(StrEnum):
    """Where results are recorded."""

    sqlite = "sqlite"
    server = "server"
    none = "none"


# ``Any`` where a key takes a path, a glob, or a list of either; see spectra.tree.paths_of.
@dataclass
class DesiConfig:
    """Labelled DESI spectra."""

    spectra: Any
    truth: Any
    single_exposure: bool
    bal_recorded: Any  # true, false, or the tables for which it is


@dataclass
class BossConfig:
    """Labelled BOSS spectra."""

    spectra: Any
    truth: Any
    most: int


@dataclass
class DataConfig:
    """Input spectra."""

    kind: DataKind
    desi: DesiConfig
    boss: BossConfig
    pool: Any
    use_mask: bool
    bad: BadRows
    mock: MockConfig | None


@dataclass
class NetworkConfig:
    """Structure of new networks."""

    layers: int
    filters: int
    boxes: int
    padding: Padding
    offset_activation: OffsetActivation
    grid: GridName
    reg_conv: float
    reg_dense: float
    dropout: float


@dataclass
class LinesConfig:
    """What the heads look for."""

    names: list[str]
    bal: list[str]


@dataclass
class TrainConfig:
    """How a member is fitted."""

    epochs: int
    min_steps: int
    batch_size: int
    learning_rate: float
    amsgrad: bool
    precision: Precision
    threads: int
    group: int | None


@dataclass
class EnsembleConfig:
    """The ensemble, and when its members call a spectrum a quasar."""

    n: int
    path: str | None
    bootstrap: Bootstrap
    line_threshold: float
    min_lines: int
    high_z: float
    calibrate: bool

    def thresholds(self) -> Thresholds:
        """When a member votes quasar."""
        return Thresholds(self.line_threshold, self.min_lines, self.high_z)


@dataclass
class SomConfig:
    """The self-organising map."""

    backend: SomBackend
    shape: list[int]
    wrap: bool
    epochs: int
    sample: int
    spectra: Any
    path: str | None


@dataclass
class InferConfig:
    """How a pool is scored."""

    backend: Backend
    precision: Precision
    batch_size: int
    threads: int
    limit: int | None
    random_order: bool
    strict: bool
    sky: bool
    keep_members: bool
    verify: Verify
    csv: bool
    qso_qn: bool


@dataclass
class QueryConfig:
    """Which spectra are picked for inspection."""

    scores: str | None
    strategy: dict[str, Any]  # _target_ and the strategy's settings
    n: int
    som_percentile: float | None
    som_counts: SomCounts
    max_outlier: float | None
    camera: CameraRule
    bad_cameras: Any
    exclude: Any
    memory_limit: str
    temp_dir: str | None

    def created_strategy(self) -> Strategy:
        """The strategy; ConfigError if ``strategy`` does not name one or its settings are wrong."""
        return plugin.create(self.strategy, "query.strategy", Strategy)  # type: ignore[type-abstract]


@dataclass
class TrackingConfig:
    """Where results are recorded in MLflow."""

    kind: TrackingKind
    uri: str | None
    experiment: str


@dataclass
class Config:
    """All keys of a job."""

    stage: Stage | None
    seed: int
    work_dir: str
    debug: bool
    data: DataConfig
    network: NetworkConfig
    lines: LinesConfig
    train: TrainConfig
    ensemble: EnsembleConfig
    som: SomConfig
    infer: InferConfig
    query: QueryConfig
    executor: dict[str, Any]  # _target_, and whatever arguments that takes
    tracking: TrackingConfig

    @property
    def work(self) -> Path:
        """The working folder, absolute."""
        return Path(self.work_dir).expanduser().absolute()
