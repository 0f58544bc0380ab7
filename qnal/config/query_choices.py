"""Query strategies by the names of their choices, ``query=NAME``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from qnal.config import plugin
from qnal.errors import ConfigError
from qnal.query.strategies.strategy import Strategy

CHOICES = Path(__file__).parents[1] / "conf" / "query"


def strategies_by_name(names: Iterable[str], key: str) -> dict[str, Strategy]:
    """The strategies of choices of ``query``.

    Args:
        names: names of choices, such as ``vote_entropy``.
        key: the key that holds them, for messages.

    Raises:
        ConfigError: there is no such choice.
    """
    found = {}
    for name in names:
        path = CHOICES / f"{name}.yaml"
        if not path.is_file():
            valid = ", ".join(sorted(p.stem for p in CHOICES.glob("*.yaml")))
            raise ConfigError(f"{key}: there is no strategy {name}; valid ones: {valid}.")
        node = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path).strategy))
        found[name] = plugin.create(node, f"query={name}", Strategy)  # type: ignore[type-abstract]
    return found
