"""Checks a composed configuration against the schema."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any, cast, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from qnal.config.plugin import nearest, unknown_key
from qnal.config.schema import Config
from qnal.errors import ConfigError
from qnal.lines import rest_wavelength

COUNTS = {"max_workers", "jobs", "cores"}  # settings of executors that count something


def validated(raw: DictConfig) -> Config:
    """The typed configuration of a composed one.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or is not valid.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), raw)
        config = cast(Config, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise ConfigError(_sentence(error)) from error
    _check_values(config)
    _check_lines(config)
    _check_executor(config.executor)
    if config.data.mock is not None:
        config.data.mock.validate()
    config.query.created_strategy()
    config.query.created_filters()
    config.created_reader()
    return config


def keys(schema: type = Config, prefix: str = "") -> Iterator[tuple[str, Field[Any], Any]]:
    """Name, field and type of each key of the schema, sections before the keys in them."""
    hints = get_type_hints(schema)
    for field in fields(schema):
        name = f"{prefix}{field.name}"
        yield name, field, hints[field.name]
        if section := _section(hints[field.name]):
            yield from keys(section, f"{name}.")


def unknown_choice(group: str, choice: str, valid: Iterable[str]) -> str:
    """The sentence for a choice that does not exist, where there are ``valid`` ones."""
    valid = list(valid)
    close = nearest(choice, valid)
    hint = f" Did you mean {group}={close}?" if close else ""
    return f"{group}={choice}: there is no such choice; valid ones: {', '.join(valid)}.{hint}"


def _section(kind: Any) -> type | None:
    """The dataclass of a section, also where the section may be null."""
    return next((k for k in (kind, *get_args(kind)) if is_dataclass(k)), None)  # type: ignore[return-value]


def _sentence(error: OmegaConfBaseException) -> str:
    key = getattr(error, "full_key", None) or "configuration"
    first = str(getattr(error, "msg", None) or error).strip().splitlines()[0]
    if "not in '" in first and (schema := error.object_type) and is_dataclass(schema):
        return unknown_key(key, (field.name for field in fields(schema)))
    if key == "query.strategy":
        first = (
            "a strategy is chosen by name, such as query=vote_entropy or query=margin, or by its "
            "class, query.strategy._target_"
        )
    if "is not a ListConfig" in first:
        first = "it takes a list, such as [LYA,Halpha] or [45,45]"
    if first.startswith("Incompatible value 'None'"):
        first = "null cannot be used here"
    if "missing mandatory value" in first:
        first = "it has no value"
    if invalid := re.match(r"Invalid value '(.*)', expected one of \[(.*)\]", first):
        return unknown_choice(str(key), invalid[1], invalid[2].split(", "))
    return f"{key}: {first.rstrip('.')}."


def _check_values(section: Any, prefix: str = "") -> None:
    for field in fields(section):
        key, value = f"{prefix}{field.name}", getattr(section, field.name)
        if is_dataclass(value):
            _check_values(value, f"{key}.")
        elif (valid := field.metadata.get("valid")) and not valid.accepts(value):
            raise ConfigError(f"{key}={value} cannot be used; it takes {valid.words}.")


def _check_lines(config: Config) -> None:
    names = config.lines.names
    if len(set(names)) < len(names):
        raise ConfigError(f"lines.names={names} names a line twice.")
    for name in [*names, *config.lines.bal]:
        rest_wavelength(name)
    if config.ensemble.min_lines > len(names):
        raise ConfigError(
            f"ensemble.min_lines={config.ensemble.min_lines} cannot be used; lines.names has "
            f"{len(names)} lines."
        )


def _check_executor(settings: dict[str, Any]) -> None:
    """The keys that all executors share; the others depend on ``_target_``."""
    if not isinstance(target := settings.get("_target_"), str):
        raise ConfigError(
            f"executor._target_={target} cannot be used; it takes the full name of a "
            "concurrent.futures.Executor, such as mpi4py.futures.MPIPoolExecutor."
        )
    # Executors take None for as many workers as there is room for.
    for name in COUNTS & settings.keys():
        value = settings[name]
        if value is not None and not (type(value) is int and value >= 1):
            raise ConfigError(
                f"executor.{name}={value} cannot be used; it takes a whole number from 1 on, "
                "or null."
            )
