"""The schema of ``conf/``: what keys there are, and which values they take.

The values themselves are in ``conf/``; here are only types and bounds, so a field has no default.
"""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.forward import Backend
from qnal.ensemble.votes import Thresholds
from qnal.errors import ConfigError
from qnal.network.lines import rest_wavelength
from qnal.network.network import OffsetActivation, Padding
from qnal.selection.query import CameraRule, SomCounts
from qnal.selection.uncertainty import Strategy
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
    bal_recorded: bool


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
    threads: int


@dataclass
class EnsembleConfig:
    """The ensemble, and when its members call a spectrum a quasar."""

    n: int
    path: str | None
    bootstrap: Bootstrap
    line_threshold: float
    min_lines: int
    high_z: float

    def thresholds(self) -> Thresholds:
        """When a member votes quasar."""
        return Thresholds(self.line_threshold, self.min_lines, self.high_z)


@dataclass
class SomConfig:
    """The self-organising map."""

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
    batch_size: int
    limit: int | None
    random_order: bool
    strict: bool
    sky: bool


@dataclass
class QueryConfig:
    """Which spectra are picked for inspection."""

    scores: str | None
    strategy: Strategy
    n: int
    som_percentile: float
    som_counts: SomCounts
    camera: CameraRule
    bad_cameras: Any
    exclude: Any


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
    tracking: TrackingConfig

    @property
    def work(self) -> Path:
        """The working folder, absolute."""
        return Path(self.work_dir).expanduser().absolute()


def validated(raw: DictConfig) -> Config:
    """The typed configuration of a composed one.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or lies out of bounds.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), raw)
        config = cast(Config, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise ConfigError(_sentence(error)) from error
    _check_bounds(config)
    return config


def _sentence(error: OmegaConfBaseException) -> str:
    key = getattr(error, "full_key", None) or "configuration"
    first = str(getattr(error, "msg", None) or error).strip().splitlines()[0]
    if "not in '" in first:  # an unknown key: OmegaConf names the dataclass, we its keys
        return unknown_key(key)
    return f"{key}: {first.rstrip('.')}."


_BOUNDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (lambda v: v >= 0, "a whole number from 0 on"),
    "network.layers": (lambda v: v >= 1, "a whole number from 1 on"),
    "network.filters": (lambda v: v >= 1, "a whole number from 1 on"),
    "network.boxes": (lambda v: v >= 2, "a whole number from 2 on"),
    "network.dropout": (lambda v: 0 <= v < 1, "a number from 0 up to, not including, 1"),
    "network.reg_conv": (lambda v: v >= 0, "a number from 0 on"),
    "network.reg_dense": (lambda v: v >= 0, "a number from 0 on"),
    "train.epochs": (lambda v: v >= 1, "a whole number from 1 on"),
    "train.min_steps": (lambda v: v >= 0, "a whole number from 0 (no minimum) on"),
    "train.batch_size": (lambda v: v >= 2, "a whole number from 2 on"),
    "train.learning_rate": (lambda v: 0 < v < math.inf, "a number above 0"),
    "train.threads": (lambda v: v >= 1, "a whole number from 1 on"),
    "ensemble.n": (lambda v: v >= 1, "a number of members from 1 on"),
    "ensemble.line_threshold": (lambda v: 0 <= v < 1, "a confidence from 0 up to, not including, 1"),
    "ensemble.min_lines": (lambda v: v >= 1, "a number of lines from 1 on"),
    "ensemble.high_z": (lambda v: v > -1, "a redshift"),
    "data.boss.most": (lambda v: v >= 1, "a number of spectra from 1 on"),
    "som.shape": (
        lambda v: len(v) == 2 and min(v) >= 1 and math.prod(v) >= 2,
        "two whole numbers, rows and columns, such as [45,45]",
    ),
    "som.epochs": (lambda v: v >= 1, "a whole number from 1 on"),
    "som.sample": (lambda v: v >= 2, "a number of spectra from 2 on"),
    "infer.batch_size": (lambda v: v >= 1, "a number of spectra from 1 on"),
    "infer.limit": (lambda v: v is None or v >= 1, "a number of files from 1 on, or null for all"),
    "query.n": (lambda v: v >= 1, "a number of targets from 1 on"),
    "query.som_percentile": (lambda v: 0 <= v < 100, "a percentile from 0 up to 100"),
    "lines.names": (lambda v: len(v) >= 1, "at least one line"),
    "lines.bal": (lambda v: len(v) <= 1, "one BAL line or none"),
}


def _check_bounds(config: Config) -> None:
    for key, (valid, meaning) in _BOUNDS.items():
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        if not valid(value):
            raise ConfigError(f"{key}={value} cannot be used; it takes {meaning}.")
    for name in [*config.lines.names, *config.lines.bal]:
        rest_wavelength(name)
    if config.ensemble.min_lines > len(config.lines.names):
        raise ConfigError(
            f"ensemble.min_lines={config.ensemble.min_lines} cannot be used; lines.names has "
            f"{len(config.lines.names)} lines."
        )


def _children(schema: type) -> dict[str, type | None]:
    """Keys of a dataclass with the dataclass below each, if any."""
    hints = get_type_hints(schema)
    children: dict[str, type | None] = {}
    for field in fields(schema):
        kinds = [hints[field.name], *get_args(hints[field.name])]
        children[field.name] = next((k for k in kinds if is_dataclass(k)), None)
    return children


def is_known_key(key: str) -> bool:
    """Whether a dotted key is in the schema; below free-form values every key is."""
    schema: type | None = Config
    for part in key.split("."):
        if schema is None:
            return True
        children = _children(schema)
        if part not in children:
            return False
        schema = children[part]
    return True


def unknown_key(key: str) -> str:
    """A sentence that names the keys that would be valid in the place of ``key``."""
    schema: type = Config
    parts = key.split(".")
    for depth, part in enumerate(parts):
        children = _children(schema)
        if part not in children:
            where = ".".join(parts[:depth])
            close = difflib.get_close_matches(part, children, n=1)
            hint = f" Did you mean {'.'.join([*parts[:depth], close[0]])}?" if close else ""
            place = f" in {where}" if where else ""
            return f"{key}: there is no such key; valid ones{place}: {', '.join(children)}.{hint}"
        below = children[part]
        if below is None:
            return f"{key}: {'.'.join(parts[: depth + 1])} has no keys below it."
        schema = below
    return f"{key}: there is no such key."


def flattened(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one level of dotted keys."""
    if isinstance(value, DictConfig | ListConfig):
        value = OmegaConf.to_container(value, resolve=True)
    if isinstance(value, Mapping) and value:
        return {k: v for n, w in value.items() for k, v in flattened(w, f"{prefix}{n}.").items()}
    return {prefix.rstrip("."): value}
