"""The Python interface: load an ensemble and score spectra."""

from pathlib import Path
from typing import Any

from qnal.inference.ensemble import Ensemble, read_scoring_ensemble


def load_ensemble(path: str | Path, n: int | None = None, **options: Any) -> Ensemble:
    """Load an ensemble from disk or from MLflow.

    Args:
        path: a folder trained by qnal, a folder of QuasarNET weight files, one such file, or an
            MLflow URI: ``runs:/ID`` of a run of ``stage=train``, or an artifact or model that
            contains an ensemble (``runs:/ID/…``, ``models:/…``).
        n: number of members to use; None: all.
        options: further arguments of :func:`qnal.inference.ensemble.read_scoring_ensemble`.

    Raises:
        InputError: there is no ensemble, or a file of it is broken.
        ConfigError: an argument cannot be used.
    """
    from qnal.tracking.download import downloaded_ensemble, is_mlflow_uri

    folder = downloaded_ensemble(str(path)) if is_mlflow_uri(path) else Path(path).expanduser()
    return read_scoring_ensemble(folder, n, **options)
