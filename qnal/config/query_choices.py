"""Query strategies by the names of their choices, ``query=NAME``, or of files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from yaml import YAMLError

from qnal.config import plugin
from qnal.errors import ConfigError
from qnal.query.strategies.strategy import Strategy

CHOICES = Path(__file__).parents[1] / "conf" / "query"


def strategies_by_name(names: Iterable[str], key: str) -> dict[str, Strategy]:
    """Strategies by the names of their choices, or of the files that hold them.

    Args:
        names: names of choices of ``query``, such as ``vote_entropy``, or YAML files like those of
            the choices, such as ``mine/power_2.yaml``, whose strategy is then called ``power_2``.
        key: the key that holds them, for messages.

    Raises:
        ConfigError: there is no such choice or file, a file holds no strategy, or two strategies
            have the same name.
    """
    found: dict[str, Strategy] = {}
    for name in names:
        own = name.endswith(".yaml")
        path = Path(name).expanduser() if own else CHOICES / f"{name}.yaml"
        if not path.is_file():
            valid = ", ".join(sorted(p.stem for p in CHOICES.glob("*.yaml")))
            raise ConfigError(
                f"{key}: there is no strategy {name}; valid ones: {valid}, and YAML files."
            )
        if path.stem in found:
            raise ConfigError(f"{key}: two strategies are called {path.stem}.")
        try:
            node = OmegaConf.select(OmegaConf.load(path), "strategy")
        except YAMLError as error:
            raise ConfigError(f"{key}: {name} is not valid YAML.") from error
        if node is None:
            raise ConfigError(f"{key}: {name} has no key strategy; conf/query/ has examples.")
        settings = cast(dict[str, Any], OmegaConf.to_container(node))
        where = name if own else f"query={name}"
        found[path.stem] = plugin.create(settings, where, Strategy)  # type: ignore[type-abstract]
    return found
