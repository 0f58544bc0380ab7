"""Filters by name, as a list in the configuration gives them."""

import inspect
import pkgutil
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from qnal.contract import check_contract
from qnal.errors import ConfigError
from qnal.query.filters.filter import Filter

INTERNAL = {"not_listed", "window"}  # built with arrays, or a base class


def filter_classes() -> dict[str, type[Filter]]:
    """The built-in filters by short name, such as ``redshift_window`` for ``RedshiftWindow``."""
    package = __name__.rpartition(".")[0]
    found = {}
    for module in pkgutil.iter_modules(import_module(package).__path__):
        for name, cls in vars(import_module(f"{package}.{module.name}")).items():
            if isinstance(cls, type) and issubclass(cls, Filter) and not inspect.isabstract(cls):
                found[re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()] = cls
    return {name: found[name] for name in sorted(found) if name not in INTERNAL}


def named_filter(given: str | Mapping[str, Any], key: str) -> Filter:
    """A filter by its short name, or by ``_target_`` (short or full name) and its arguments.

    Args:
        given: the entry of the configuration.
        key: its place there, for messages.

    Raises:
        ConfigError: there is no such filter, or its arguments are wrong.
        InputError: a file that the filter reads is missing or damaged.
    """
    node: Mapping[str, Any] = {"_target_": given} if isinstance(given, str) else given
    name = str(node.get("_target_"))
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    cls = _class(name, key)
    try:
        inspect.signature(cls).bind(**arguments)
        created = cls(**arguments)
    except (TypeError, ValueError, ConfigError) as error:
        reason = str(error).rstrip(".")
        raise ConfigError(f"{key}: {name} does not accept its settings ({reason}).") from error
    check_contract(created, key)
    return created


def _class(name: str, key: str) -> type[Filter]:
    built_in = filter_classes()
    if name in built_in:
        return built_in[name]
    module, _, attribute = name.rpartition(".")
    expected = (
        f"it takes one of {', '.join(built_in)}, or the full name of a subclass of "
        "qnal.query.filters.filter.Filter"
    )
    if not module:
        raise ConfigError(f"{key}: there is no filter {name}; {expected}.")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key}: {name} cannot be imported ({error}); {expected}.") from error
    if not (isinstance(found, type) and issubclass(found, Filter)) or inspect.isabstract(found):
        raise ConfigError(f"{key}: {name} cannot be used; {expected}.")
    return found
