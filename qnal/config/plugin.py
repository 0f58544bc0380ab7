"""Plug-ins: objects that a config node names by ``_target_``, with their settings beside it."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from qnal.errors import ConfigError

T = TypeVar("T")
TARGET = "_target_"


def create(node: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """The object of a config node: its ``_target_`` called with the other settings.

    Args:
        node: ``_target_`` (the full name of a class, such as ``my_module.MyStrategy``) and the
            arguments of the class by name.
        key: the node's key, for messages.
        kind: the class of which the object must be an instance.

    Raises:
        ConfigError: the class cannot be imported or is of another kind, or a setting is unknown,
            missing or refused by the class.
    """
    target, settings = node.get(TARGET), {k: v for k, v in node.items() if k != TARGET}
    cls = _find(target, key, kind)
    parameters = inspect.signature(cls).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in settings:
        if name not in parameters and not takes_any:
            valid = ", ".join(parameters) or "none"
            raise ConfigError(f"{key}.{name}: {target} has no such setting; valid ones: {valid}.")
    for name, parameter in parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and name not in settings:
            raise ConfigError(f"{key}.{name} is not set; {target} needs it.")
    try:
        return cls(**settings)
    except (TypeError, ValueError, ConfigError) as error:
        raise ConfigError(f"{key}: {target} refuses its settings ({error}).") from error


def _find(target: object, key: str, kind: type[T]) -> type[T]:
    expected = f"it takes the full name of a subclass of {kind.__module__}.{kind.__qualname__}"
    module, _, name = str(target).rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{key}.{TARGET}={target} cannot be imported ({error}); {expected}."
        ) from error
    if not (isinstance(found, type) and issubclass(found, kind)) or inspect.isabstract(found):
        raise ConfigError(f"{key}.{TARGET}={target} cannot be used; {expected}.")
    return found
