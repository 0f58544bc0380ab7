"""Strategies by name, for strategies that are built from others."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from qnal.contract import check_contract
from qnal.errors import ConfigError
from qnal.query.strategies.strategy import Strategy

NOT_STRATEGIES = {"__init__", "strategy", "named", "class_shares"}


def strategy_names() -> list[str]:
    """Names of the built-in strategies: their modules in this package."""
    found = {path.stem for path in Path(__file__).parent.glob("*.py")}
    return sorted(found - NOT_STRATEGIES)


def named_strategy(given: str | Mapping[str, Any] | Strategy) -> Strategy:
    """A strategy by its name, or by the full name of its class (``_target_``) and its arguments.

    Raises:
        ConfigError: there is no such strategy, or its arguments are wrong.
    """
    if isinstance(given, Strategy):
        return given
    if isinstance(given, Mapping):
        arguments = {key: value for key, value in given.items() if key != "_target_"}
        module, _, name = str(given.get("_target_")).rpartition(".")
    else:
        arguments, module, name = {}, f"{__package__}.{given}", ""
        if given not in strategy_names():
            raise ConfigError(
                f"{given} is not a strategy; valid names: {', '.join(strategy_names())}."
            )
    try:
        found = import_module(module)
        cls = getattr(found, name) if name else _only_strategy(found, str(given))
        created = cls(**arguments)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(f"{given} cannot be used as a strategy ({error}).") from error
    if not isinstance(created, Strategy):
        raise ConfigError(f"{given} is not a strategy.")
    check_contract(created, str(given))
    return created


def _only_strategy(module: Any, name: str) -> Any:
    for found in vars(module).values():
        if isinstance(found, type) and getattr(found, "name", None) == name:
            return found
    raise AttributeError(f"its module has no strategy with the name {name}")
