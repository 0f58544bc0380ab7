"""Declares the keys of the configuration: each with its meaning and its valid values."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Valid:
    """Which values a key accepts, beyond those of its type.

    Attributes:
        words: completes the sentence "it takes …".
        accepts: whether a value, which has the key's type, is valid.
    """

    words: str
    accepts: Callable[[Any], bool]

    def or_null(self, meaning: str) -> "Valid":
        """The same, and null, which stands for ``meaning``."""
        accepts = self.accepts
        return Valid(f"{self.words}, or null for {meaning}", lambda v: v is None or accepts(v))


def at_least(lowest: int, what: str = "a whole number") -> Valid:
    """Numbers from ``lowest`` on."""
    return Valid(f"{what} from {lowest} on", lambda v: lowest <= v < math.inf)


def positive(what: str = "a number") -> Valid:
    """Numbers above 0."""
    return Valid(f"{what} above 0", lambda v: 0 < v < math.inf)


def key(meaning: str, valid: Valid | None = None) -> Any:
    """A dataclass field that is a key of the configuration.

    Its default value is in ``conf/``. Without ``valid``, all values of the field's type are valid.
    """
    return field(metadata={"meaning": meaning, "valid": valid})


PATHS = Valid("a path, a glob pattern, or a list of them", lambda v: True)
