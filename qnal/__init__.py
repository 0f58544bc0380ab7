"""Active learning for quasar spectra: selects the spectra that people should inspect next."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qnal.api import load_ensemble

__all__ = ["load_ensemble"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import qnal` and the command line start quickly.
    if name == "load_ensemble":
        from qnal.api import load_ensemble

        return load_ensemble
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
