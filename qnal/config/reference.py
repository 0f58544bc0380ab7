"""The reference of all configuration keys, ``docs/configuration.md``.

Written by ``python -m qnal.config.reference > docs/configuration.md``; a test compares the page
with the schema.
"""

import inspect
import re
from dataclasses import is_dataclass
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from omegaconf import DictConfig, OmegaConf

from qnal.config.key import PATHS, Valid
from qnal.config.validation import keys
from qnal.spectra.mock.config import MockConfig

CONF = Path(__file__).parents[1] / "conf"
# Groups of plug-ins, whose keys differ between their choices.
PLUGINS = {
    "reader": "how the pool is read",
    "executor": "where members are trained and files scored",
}
HEADER = """\
# Configuration

<!-- Written by `python -m qnal.config.reference`; do not edit. -->

Set a key on the command line with `key=value`, and choose a config group with `group=choice`.
Lists are written `[a,b]`, and "nothing" is written `null`. `qnal --cfg job stage=train` prints the
values that a job would use.
"""


def page() -> str:
    """The page in Markdown: the config groups and their choices, and all keys by section."""
    sections: dict[str, list[str]] = {"": []}
    titles = {"": "Job"}
    defaults = _defaults()
    for name, field, kind in keys():
        section, _, key = name.rpartition(".")
        meaning = field.metadata.get("meaning") or _mock_meanings()[key]
        if name in PLUGINS:
            continue
        if _is_section(kind):
            sections[name] = []
            titles[name] = f"`{name}`: {meaning}"
            continue
        default = _text(OmegaConf.select(defaults, name))
        valid = field.metadata.get("valid")
        cells = (f"`{name}`", _type(kind, valid), default, _valid(kind, valid), meaning)
        sections[section].append(f"| {' | '.join(cells)} |")
    lines = [HEADER, *_groups()]
    for name, rows in sections.items():
        if rows:
            lines += [f"\n## {titles[name]}\n"]
            lines += ["| key | type | default | valid values | meaning |", "|---|---|---|---|---|"]
            lines += rows
    for group, title in PLUGINS.items():
        lines += _settings(group, title)
    return "\n".join(lines) + "\n"


def _defaults() -> DictConfig:
    """The default values: ``conf/config.yaml`` and the default choice of each group."""
    config = OmegaConf.load(CONF / "config.yaml")
    choices = {k: v for entry in config.defaults if entry != "_self_" for k, v in entry.items()}
    loaded = {
        group: OmegaConf.load(CONF / group / f"{choice}.yaml")
        for group, choice in choices.items()
        if choice is not None and (CONF / group / f"{choice}.yaml").exists()
    }
    assert isinstance(config, DictConfig)  # noqa: S101
    defaults = OmegaConf.merge(config, OmegaConf.create(loaded))
    defaults.data.mock = OmegaConf.structured(MockConfig())
    assert isinstance(defaults, DictConfig)  # noqa: S101
    return defaults


def _groups() -> list[str]:
    """A table of the groups' choices, each with the comment that opens its file."""
    lines = ["## Config groups\n", "| choice | meaning |", "|---|---|"]
    for path in sorted(CONF.glob("*/*.yaml")):
        found = re.match(r"(?:# @package .*\n)?# (.*?)\.?\n", path.read_text())
        meaning = found[1] if found else ""
        if path.parent.name != "local":
            lines.append(f"| `{path.parent.name}={path.stem}` | {meaning} |")
    return lines


def _settings(group: str, title: str) -> list[str]:
    """A table of the settings of a group of plug-ins, from the comments in their files."""
    lines = [f"\n## `{group}`: {title}\n"]
    lines += ["| choice | key | default | meaning |", "|---|---|---|---|"]
    for path in sorted(CONF.glob(f"{group}/*.yaml")):
        for key, value, meaning in re.findall(
            r"^(\w+): (.*?)(?: # (.*))?$", path.read_text(), re.M
        ):
            cells = (f"`{group}={path.stem}`", f"`{group}.{key}`", f"`{value}`", meaning)
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _kinds(kind: Any) -> tuple[Any, ...]:
    """The types of a key, without that of null."""
    alternatives = get_args(kind) if NoneType in get_args(kind) else (kind,)
    return tuple(k for k in alternatives if k is not NoneType)


def _is_section(kind: Any) -> bool:
    return any(is_dataclass(k) for k in _kinds(kind))


def _type(kind: Any, valid: Valid | None) -> str:
    (only,) = _kinds(kind)
    if only is Any:
        return "paths" if valid is PATHS else "any"
    if get_origin(only) is dict:
        return "plug-in"
    is_enum = isinstance(only, type) and issubclass(only, StrEnum)
    name = "choice" if is_enum else str(only) if get_args(only) else only.__name__
    return f"{name} or null" if NoneType in get_args(kind) else name


def _valid(kind: Any, valid: Valid | None) -> str:
    if valid:
        return f"{valid.words}, or null" if valid is PATHS else valid.words
    (only,) = _kinds(kind)
    if isinstance(only, type) and issubclass(only, StrEnum):
        return ", ".join(f"`{choice}`" for choice in only)
    return "`true`, `false`" if only is bool else ""


def _text(value: Any) -> str:
    if value is None:
        return "`null`"
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
        if isinstance(value, dict):
            value = "{" + ", ".join(f"{k}: {v}" for k, v in value.items()) + "}"
        else:
            value = "[" + ", ".join(map(str, value)) + "]"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _mock_meanings() -> dict[str, str]:
    """Meaning of the keys of ``data.mock``, from the docstring of their class."""
    _, _, listed = inspect.getdoc(MockConfig).partition("Attributes:")  # type: ignore[union-attr]
    meanings = {}
    for entry in re.split(r"\n    (?=\w)", listed):
        names, _, meaning = entry.partition(":")
        for name in names.split(","):
            meanings[name.strip()] = " ".join(meaning.split()).rstrip(".")
    return meanings


if __name__ == "__main__":
    print(page(), end="")
