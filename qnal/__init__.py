"""qnal decides which spectra people should look at next."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qnal.api import load_ensemble

__all__ = ["load_ensemble"]


def __getattr__(name: str) -> Any:
    # `import qnal` loads nothing, so that the command line answers at once.
    if name == "load_ensemble":
        from qnal.api import load_ensemble

        return load_ensemble
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
