"""The Python interface: load an ensemble and score spectra."""

from pathlib import Path
from typing import Any

from qnal.errors import InputError
from qnal.inference.ensemble import Ensemble, read_scoring_ensemble


def load_ensemble(
    path: str | Path, n: int | None = None, *, work_dir: str | Path = "work", **options: Any
) -> Ensemble:
    """Load an ensemble from disk or from MLflow.

    Args:
        path: a folder trained by qnal, a folder of QuasarNET weight files, one such file, or an
            MLflow URI: ``runs:/ID`` of a run of ``stage=train``, or an artifact or model that
            contains an ensemble (``runs:/ID/…``, ``models:/qnal-ensemble@champion``); or
            ``latest``, the newest one in ``work_dir``.
        n: number of members to use; None: all.
        work_dir: the work folder, for ``latest``.
        options: further arguments of :func:`qnal.inference.ensemble.read_scoring_ensemble`.

    Raises:
        InputError: there is no ensemble, or a file of it is broken.
        ConfigError: an argument cannot be used.
    """
    from qnal.tracking.download import downloaded_ensemble, is_mlflow_uri

    folder = Path(path).expanduser()
    if is_mlflow_uri(path):
        folder = downloaded_ensemble(str(path))
    elif str(path) == "latest":
        from qnal.stages.work_folder import WorkFolder

        work = Path(work_dir).expanduser().absolute()
        newest = WorkFolder(work).latest("ensemble")
        if newest is None:
            raise InputError(f"{work}: no ensemble was trained in this work folder.")
        folder = newest
    return read_scoring_ensemble(folder, n, **options)
