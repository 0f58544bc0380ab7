"""Where things are in the working folder.

What a stage makes is named by a fingerprint of what it was made from, so that nothing is done
twice, mixed or overwritten. ``latest.json`` says what was made last, for stages run by hand.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from qnal.config.schema import Config
from qnal.errors import ConfigError
from qnal.files import write_text
from qnal.progress import say

NAME_LENGTH = 12  # hexadecimal digits of a fingerprint in a folder's name
LATEST = "latest.json"


def folder_for(work: Path, kind: str, name: str) -> Path:
    """Folder of a thing of a kind (``ensembles``, ``soms``, ``scores``, ``mock``)."""
    return work / kind / name[:NAME_LENGTH]


def set_latest(work: Path, kind: str, path: Path) -> None:
    """Note what was made last."""
    work.mkdir(parents=True, exist_ok=True)
    with FileLock(work / f".{LATEST}.lock"):
        write_text(work / LATEST, json.dumps(_latest(work) | {kind: str(path)}, indent=1) + "\n")


def given_or_latest(config: Config, value: str | None, key: str, kind: str) -> Path | None:
    """The path that a key gives, or what was made last in the working folder, or None."""
    if value is not None:
        path = Path(value).expanduser().absolute()
        if not path.exists():
            raise ConfigError(f"{key}={value}: there is no such file or folder.")
        return path
    latest = _latest(config.work).get(kind)
    if not isinstance(latest, str) or not Path(latest).exists():
        return None
    say(f"{key}: {latest} (the last one in {config.work_dir})")
    return Path(latest)


def _latest(work: Path) -> dict[str, str]:
    try:
        content: dict[str, str] = json.loads((work / LATEST).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def to_dict(section: Any) -> dict[str, Any]:
    """A section of the configuration as a mapping."""
    return asdict(section)
