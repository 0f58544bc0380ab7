"""The ``qnal`` command: composes the configuration with Hydra, checks it and runs a stage."""

import os
import sys
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from qnal.composition import CONF, as_text, refused_by_hydra
from qnal.job import DONE, EXIT_CODES, INCOMPLETE, REFUSED, objective, refuse, run

__all__ = ["DONE", "EXIT_CODES", "INCOMPLETE", "INTERRUPTED", "REFUSED", "main", "run", "usage"]

INTERRUPTED = 130  # the shells' exit code after Ctrl-C
CONFIG_DIR = ("--config-dir", "-cd")
# Stages that need no TensorFlow. In a sweep the jobs of other stages run in a process each.
LIGHT_STAGES = ("query", "inspect", "label", "mock")
# What the job of this process has returned; empty in a sweep, and while Hydra composes.
_codes: list[int] = []

USAGE = """\
Active learning for quasar spectra: selects the spectra that people should inspect next.

  qnal stage=STAGE [KEY=VALUE ...]         run a stage
  qnal experiment=NAME [KEY=VALUE ...]     run an experiment: {experiments}
  qnal -m stage=STAGE KEY=A,B [...]        run one job per combination of values

stages
  train      train an ensemble of QuasarNET networks on labelled spectra
  som        fit a self-organizing map (SOM) to the pool, used to reject outliers
  infer      score the pool with the ensemble: votes, redshifts, disagreement
  query      select the spectra most worth inspecting from the scores
  inspect    write an HTML file in which the selected spectra are labelled
  label      take in the labels that inspectors returned
  compare    compare a new ensemble with the champion of the model registry
  pipeline   train, som, infer and query, one after the other
  mock       write the built-in mock survey as FITS files
  loop       simulate rounds of labelling on a labelled set, strategy against strategy

examples
  qnal experiment=demo
  qnal stage=train data.boss.spectra=dr12_train.fits data.boss.truth=truth_dr12q.fits \\
       data.desi.spectra='coadds/*.fits' data.desi.truth=vi.csv \\
       ensemble.n=200 train.epochs=10 train.amsgrad=true
  qnal stage=infer ensemble.path=work/ensembles/... data.pool=tiles/perexp
  qnal stage=query query.n=1000
  qnal -m stage=train data=mock network.layers=4,6 train.learning_rate=1e-4,2e-4

config groups (GROUP=CHOICE)
{groups}

  qnal --cfg job --resolve stage=train   print all keys with their values
  qnal --info defaults stage=train       print where they come from
  qnal --config-dir FOLDER ...           add experiments and choices of your own
  eval "$(qnal -sc install=bash)"        complete groups and keys with Tab
  qnal --hydra-help                      print Hydra's other options
Results are written to work_dir (work/). To browse them:
  mlflow ui --backend-store-uri sqlite:///work/mlflow.db
"""


def main() -> None:
    """Entry point of the ``qnal`` command."""
    arguments = sys.argv[1:] = [as_text(argument) for argument in sys.argv[1:]]
    if not arguments or {"-h", "--help"} & set(arguments):
        print(usage(_config_dir(arguments)))
        return
    if arguments[0] == "--version":
        print(f"qnal {version('qnal')}")
        return
    if {"-sc", "--shell-completion"} & set(arguments):
        line = os.path.expandvars(os.environ.get("COMP_LINE", "")).split()
        if line and line[-1] in CONFIG_DIR:
            return  # the shell completes the names of folders
        if folder := _config_dir(line):  # Hydra reads that of its own command line only
            sys.argv += ["--config-dir", str(folder)]
    # Makes Hydra raise its errors instead of printing them.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_job)()
    except KeyboardInterrupt:
        _end_sweep("KILLED")
        print("interrupted; the same command continues where this one stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except SystemExit as ended:  # Hydra has printed help, or what it does not understand
        sys.exit(REFUSED if ended.code else DONE)
    except Exception as error:
        swept = _end_sweep("FAILED")
        if _codes or (refusal := refused_by_hydra(error)) is None:
            raise
        refuse(refusal)
        sys.exit(swept or REFUSED)
    swept = _end_sweep("FINISHED")
    sys.exit(max(_codes, default=DONE) if swept is None else swept)


def _job(raw: DictConfig) -> float | None:
    """Run a job; launchers call it in any process, and pass on what it returns, its objective."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    if settings.mode is not RunMode.MULTIRUN:
        _codes.append(REFUSED)  # if it raises
        _codes[:] = [run(raw, folder)]
        return _objective(raw, folder)
    from qnal.sweep.callback import place_of
    from qnal.sweep.jobs import run_in_sweep

    run_in_sweep(raw, folder, place_of(settings), apart=str(raw.get("stage")) not in LIGHT_STAGES)
    return _objective(raw, folder)


def _objective(raw: DictConfig, folder: Path) -> float | None:
    """The job's objective for a sweeper; NaN if the job has not reached one."""
    from qnal.sweep.table import summary_of

    if not (name := raw.get("objective")):
        return None
    reached = objective(summary_of(folder), str(name))
    return float("nan") if reached is None else reached


def _end_sweep(status: str) -> int | None:
    """End the sweep that this process has launched; its exit code, or None without a sweep."""
    callback = sys.modules.get("qnal.sweep.callback")
    if callback is None or (sweep := callback.Sweep.current) is None:
        return None
    callback.finish(status)
    return int(sweep.exit_code)


def usage(config_dir: Path | None = None) -> str:
    """What the command can do, with the config groups and experiments there are."""
    folders = [CONF] if config_dir is None else [CONF, config_dir]
    groups = {p.name for folder in folders for p in folder.iterdir() if p.is_dir()}
    lines = [
        f"  {group}={'|'.join(_choices(folders, group))}"
        for group in sorted(groups - {"experiment", "hydra"})
    ]
    experiments = ", ".join(_choices(folders, "experiment"))
    return USAGE.format(experiments=experiments, groups="\n".join(lines))


def _choices(folders: list[Path], group: str) -> list[str]:
    return sorted({p.stem for folder in folders for p in (folder / group).glob("*.yaml")})


def _config_dir(arguments: list[str]) -> Path | None:
    """The folder that is given with --config-dir, if it exists."""
    for given, following in pairwise([*arguments, ""]):
        option, _, value = given.partition("=")
        if option in CONFIG_DIR:
            folder = Path(value or following).expanduser()
            return folder if folder.is_dir() else None
    return None
