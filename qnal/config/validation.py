"""Checks a composed configuration against the schema, and says what would be valid."""

import difflib
import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, cast, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from qnal.config.schema import Config
from qnal.errors import ConfigError
from qnal.lines import rest_wavelength


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
    if key == "query.strategy":
        first = (
            "a strategy is chosen by name, such as query=vote_entropy or query=margin, or by its "
            "class, query.strategy._target_"
        )
    if "not in '" in first:  # an unknown key: OmegaConf names the dataclass, we its keys
        return unknown_key(key)
    if "is not a ListConfig" in first:
        first = "it takes a list, such as [LYA,Halpha] or [45,45]"
    if first.startswith("Incompatible value 'None'"):
        first = "null cannot be used here"
    return f"{key}: {first.rstrip('.')}."


_BOUNDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (lambda v: v >= 0, "a whole number from 0 on"),
    "network.layers": (lambda v: v >= 1, "a whole number from 1 on"),
    "network.filters": (lambda v: v >= 1, "a whole number from 1 on"),
    "network.boxes": (lambda v: v >= 2, "a whole number from 2 on"),
    "network.dropout": (lambda v: 0 <= v <= 0.99, "a number from 0 up to 0.99"),
    "network.reg_conv": (lambda v: v >= 0, "a number from 0 on"),
    "network.reg_dense": (lambda v: v >= 0, "a number from 0 on"),
    "train.epochs": (lambda v: v >= 1, "a whole number from 1 on"),
    "train.min_steps": (lambda v: v >= 0, "a whole number from 0 (no minimum) on"),
    "train.batch_size": (lambda v: v >= 2, "a whole number from 2 on"),
    "train.learning_rate": (lambda v: 0 < v < math.inf, "a number above 0"),
    "train.threads": (lambda v: v >= 1, "a whole number from 1 on"),
    "infer.threads": (lambda v: v >= 1, "a whole number from 1 on"),
    "train.group": (
        lambda v: v is None or v >= 1,
        "a number of members from 1 on, or null for what suits the machine",
    ),
    "ensemble.n": (lambda v: v >= 1, "a number of members from 1 on"),
    "ensemble.line_threshold": (
        lambda v: 0 <= v < 1,
        "a confidence from 0 up to, not including, 1",
    ),
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
    "query.som_percentile": (
        lambda v: v is None or 0 <= v < 100,
        "a percentile from 0 up to, not including, 100, or null to keep rare spectra",
    ),
    "query.max_outlier": (
        lambda v: v is None or math.isfinite(v),
        "a number of standard deviations, or null to keep outliers",
    ),
    "lines.names": (lambda v: len(v) >= 1, "at least one line"),
    "lines.bal": (lambda v: len(v) <= 1, "one BAL line or none"),
    "work_dir": (lambda v: v.strip() != "", "the path of a folder"),
}


def _check_bounds(config: Config) -> None:
    for key, (valid, meaning) in _BOUNDS.items():
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        if not valid(value):
            raise ConfigError(f"{key}={value} cannot be used; it takes {meaning}.")
    if not isinstance(target := config.executor.get("_target_"), str):
        raise ConfigError(
            f"executor._target_={target} cannot be used; it takes the full name of a "
            "concurrent.futures.Executor, such as mpi4py.futures.MPIPoolExecutor."
        )
    config.query.created_strategy()
    workers = config.executor.get("max_workers")
    if workers is not None and not (isinstance(workers, int) and workers >= 1):
        raise ConfigError(
            f"executor.max_workers={workers} cannot be used; it takes a whole number from 1 on, "
            "or null."
        )
    if len(set(config.lines.names)) < len(config.lines.names):
        raise ConfigError(f"lines.names={config.lines.names} names a line twice.")
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
        kinds: list[type] = [hints[field.name], *get_args(hints[field.name])]
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
