"""The Python interface: load an ensemble, compose a configuration, run a stage."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnal.errors import InputError
from qnal.inference.ensemble import Ensemble, read_scoring_ensemble

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from qnal.summary import Summary


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


def compose(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> "DictConfig":
    """Compose the configuration of a job, as the command does.

    Args:
        overrides: what would follow ``qnal`` on the command line, such as ``experiment=demo`` or
            ``ensemble.n=4``.
        config_dir: a folder with experiments and choices of your own.

    Returns:
        The configuration, which may be changed (``config.ensemble.n = 8``) before it is run.

    Raises:
        ConfigError: a key or choice does not exist, or a value cannot be used.
    """
    from qnal.composition import composed
    from qnal.config.validation import validated

    if isinstance(overrides, str):
        overrides = overrides.split()
    config = composed(overrides, None if config_dir is None else Path(config_dir).expanduser())
    validated(config)
    return config


def run(config: "DictConfig", folder: str | Path | None = None) -> "Summary":
    """Run the stage of a configuration, as the command does, and return its summary.

    Results go to ``work_dir``. The summary is also written to ``summary.json`` in the run folder,
    beside the configuration (``hydra/config.yaml``).

    Args:
        config: from :func:`compose`.
        folder: the run folder; None: ``work_dir/runs/STAGE/TIME``.

    Raises:
        QnalError: the configuration or an input is refused.
        OSError: a file cannot be read or written.
    """
    from omegaconf import OmegaConf

    from qnal.files import write_text
    from qnal.job import SUMMARY, checked, perform

    job = checked(config)
    if folder is None:
        time = f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"  # as in hydra.run.dir of conf/config.yaml
        folder = job.work / "runs" / str(job.stage) / time
    folder = Path(folder).expanduser().absolute()
    write_text(folder / "hydra" / "config.yaml", OmegaConf.to_yaml(config))
    summary = perform(config, folder)
    summary.paths["summary"] = str(folder / SUMMARY)
    return summary
