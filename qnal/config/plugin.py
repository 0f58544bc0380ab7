"""Plug-ins: objects that a config node names by ``_target_``, with their settings beside it."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from inspect import Parameter, signature
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from qnal.contract import check_contract
from qnal.errors import ConfigError

T = TypeVar("T")
TARGET = "_target_"
# Types of settings that are checked, in words.
KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Sequence: "a list",
    list: "a list",
    NoneType: "null",
}


def create(
    node: Mapping[str, Any], key: str, kind: type[T], defaults: Mapping[str, Any] | None = None
) -> T:
    """The object of a config node: its ``_target_`` called with the other settings.

    Args:
        node: ``_target_`` (the full name of a class, such as ``my_module.MyStrategy``) and the
            arguments of the class by name.
        key: the node's key, for messages.
        kind: the class of which the object must be an instance.
        defaults: arguments that are not in the node, for classes that take them.

    Raises:
        ConfigError: the class cannot be imported or is of another kind, lacks something of its
            contract, or a setting is unknown, missing or refused by the class.
    """
    target, settings = node.get(TARGET), {k: v for k, v in node.items() if k != TARGET}
    cls = _find(target, key, kind)
    parameters = signature(cls).parameters
    settings = {k: v for k, v in (defaults or {}).items() if k in parameters} | settings
    check_settings(cls, settings, key)
    for name, parameter in parameters.items():
        is_named = parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        if is_named and parameter.default is Parameter.empty and name not in settings:
            raise ConfigError(f"{key}.{name} is not set; {target} needs it.")
    try:
        created = cls(**settings)
    except (TypeError, ValueError, ConfigError) as error:
        reason = str(error).rstrip(".")
        raise ConfigError(f"{key}: {target} does not accept its settings ({reason}).") from error
    check_contract(created, key)
    return created


def check_settings(target: Callable[..., Any], settings: Mapping[str, Any], section: str) -> None:
    """Check the keys of a section with a ``_target_`` against the target's arguments.

    Numbers, texts, lists and switches are checked against the types in the target's signature.

    Raises:
        ConfigError: the target has no such argument, or one of another type.
    """
    try:
        parameters = signature(target).parameters.values()
    except ValueError:  # a built-in function without a signature
        return
    if any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.kind is not Parameter.VAR_POSITIONAL]
    types = _types(target)
    for name, value in settings.items():
        if name.startswith("_"):
            continue
        if name not in known:
            raise ConfigError(unknown_key(f"{section}.{name}", known))
        if (kinds := types.get(name)) and not _is_of(value, kinds):
            words = " or ".join(KINDS[kind] for kind in kinds)
            raise ConfigError(f"{section}.{name}={value} cannot be used; it takes {words}.")


def _types(target: Callable[..., Any]) -> dict[str, list[type]]:
    """Types of the arguments all of whose types are among KINDS."""
    try:
        hints = get_type_hints(getattr(target, "__init__") if isinstance(target, type) else target)  # noqa: B009
    except (TypeError, NameError):
        return {}
    alternatives = {
        name: [get_origin(kind) or kind for kind in (get_args(hint) if _is_union(hint) else [hint])]
        for name, hint in hints.items()
    }
    return {name: kinds for name, kinds in alternatives.items() if set(kinds) <= KINDS.keys()}


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def _is_of(value: Any, kinds: list[type]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, str):
        return str in kinds
    return isinstance(value, tuple(kinds)) or (isinstance(value, int) and float in kinds)


def unknown_key(key: str, valid: Iterable[str]) -> str:
    """The sentence for a key that does not exist, where there are ``valid`` ones."""
    section, _, name = key.rpartition(".")
    valid = list(valid)
    place = f" in {section}" if section else ""
    close = nearest(name, valid)
    hint = f" Did you mean {section}{'.' if section else ''}{close}?" if close else ""
    return f"{key}: there is no such key; valid ones{place}: {', '.join(valid) or 'none'}.{hint}"


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that a misspelt one resembles most, if any does."""
    close = difflib.get_close_matches(name, list(valid), n=1)
    return close[0] if close else None


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
