"""Whether a plug-in has what its base class asks for, checked before any work."""

from inspect import signature

from qnal.errors import ConfigError


def check_contract(plugin: object, key: str) -> None:
    """Check attributes and methods of a plug-in against its base classes.

    Methods that are abstract in a base class must take the same arguments, and attributes that a
    base class declares without a value must exist.

    Args:
        plugin: an object of a subclass.
        key: what it was chosen by, for messages.

    Raises:
        ConfigError: a method takes other arguments, or an attribute is missing.
    """
    cls = type(plugin)
    for base in cls.__mro__[1:]:
        for name in sorted(getattr(base, "__abstractmethods__", ())):
            expected = list(signature(getattr(base, name)).parameters)
            try:
                signature(getattr(cls, name)).bind(*expected)
            except TypeError as error:
                raise ConfigError(
                    f"{key}: {cls.__qualname__}.{name} must take the arguments "
                    f"({', '.join(expected)}), as {base.__qualname__}.{name} does."
                ) from error
        for name in vars(base).get("__annotations__", {}):
            if not hasattr(plugin, name):
                raise ConfigError(
                    f"{key}: {cls.__qualname__} has no attribute {name}, which a "
                    f"{base.__qualname__} needs."
                )
