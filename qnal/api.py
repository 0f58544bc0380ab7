"""qnal from Python: what a notebook or another pipeline calls."""

from pathlib import Path
from typing import Any

from qnal.ensemble.description import MANIFEST
from qnal.inference.ensemble import Ensemble, read_scoring_ensemble

MLFLOW_SCHEMES = ("runs:/", "models:/", "mlflow-artifacts:/")


def load_ensemble(path: str | Path, n: int | None = None, **options: Any) -> Ensemble:
    """Load an ensemble from disk or from MLflow.

    Args:
        path: a folder that qnal trained, a folder of QuasarNET weight files, one such file, or an
            MLflow URI of one of them (``runs:/…``, ``models:/…``).
        n: how many members to take; None: all.
        options: further arguments of :func:`qnal.inference.ensemble.read_scoring_ensemble`.

    Raises:
        InputError: there is no ensemble, or a file of it is broken.
        ConfigError: an argument cannot be used.
    """
    return read_scoring_ensemble(_folder(path), n, **options)


def _folder(path: str | Path) -> Path:
    if not str(path).startswith(MLFLOW_SCHEMES):
        return Path(path).expanduser()
    from qnal.tracking import downloaded

    folder = downloaded(str(path))
    # A logged model keeps the ensemble somewhere below it.
    found = sorted(folder.rglob(MANIFEST)) if folder.is_dir() else []
    return found[0].parent if found else folder
