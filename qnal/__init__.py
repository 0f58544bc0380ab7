"""Active learning for quasar spectra: selects the spectra that people should inspect next."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qnal.api import compose, load_ensemble, run

__all__ = ["compose", "load_ensemble", "run"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import qnal` and the command line start quickly.
    if name in __all__:
        from qnal import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
