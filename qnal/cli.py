"""The ``qnal`` command: composes the configuration with Hydra, checks it and runs a stage."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from qnal.errors import ConfigError, QnalError

if TYPE_CHECKING:
    from qnal.summary import Summary

DONE, REFUSED, INCOMPLETE = 0, 1, 3
INTERRUPTED = 130  # the shells' exit code after Ctrl-C
EXIT_CODES = {"done": DONE, "refused": REFUSED, "incomplete": INCOMPLETE}

# In a checkout this is a symbolic link to the repository's conf/; a wheel contains the files.
CONF = Path(__file__).parent / "conf"

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
  pipeline   train, som, infer and query, one after the other
  mock       write the built-in mock survey as FITS files

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

  qnal --cfg job stage=train   print all keys with their values
  qnal --hydra-help            print Hydra's own options, such as --config-dir and --info
Results are written to work_dir (work/). To browse them:
  mlflow ui --backend-store-uri sqlite:///work/mlflow.db
"""


def main() -> None:
    """Entry point of the ``qnal`` command."""
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help"} & set(arguments):
        print(usage())
        return
    if arguments[0] == "--version":
        print(f"qnal {version('qnal')}")
        return
    # Makes Hydra raise its errors instead of printing them.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    codes: list[int] = []
    started = False

    def job(raw: DictConfig) -> None:
        nonlocal started
        started = True
        # A refused job of a multirun must not stop the others, so it raises nothing.
        codes.append(run(raw, Path(HydraConfig.get().runtime.output_dir)))

    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()
    except KeyboardInterrupt:
        print("interrupted; the same command continues where this one stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except SystemExit as ended:  # Hydra has printed help, or what it does not understand
        sys.exit(REFUSED if ended.code else DONE)
    except Exception as error:
        if started or (refusal := refused_by_hydra(error)) is None:
            raise
        _refuse(refusal)
        sys.exit(REFUSED)
    sys.exit(max(codes, key=(DONE, INCOMPLETE, REFUSED).index, default=DONE))


def run(raw: DictConfig, folder: Path) -> int:
    """Validate a composed configuration, run its stage, write ``summary.json``.

    Args:
        raw: the composed configuration.
        folder: the job's run folder.

    Returns:
        The exit code: 0 done, 1 refused, 3 done but incomplete.
    """
    from qnal.summary import Summary

    try:
        summary = _run_stage(raw, folder)
    except (QnalError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:
            raise
        if raw.get("traceback") is True:
            traceback.print_exc()
        sentence = _refuse(error)
        summary = Summary(str(raw.get("stage")), status="refused", error=sentence)
    try:
        summary.write(folder / "summary.json")
    except OSError as error:
        _refuse(QnalError(f"{folder}: the summary cannot be written ({error.strerror})."))
        return REFUSED
    if summary.error is None:
        summary.paths["summary"] = str(folder / "summary.json")
        summary.show()
    return EXIT_CODES[summary.status]


def _run_stage(raw: DictConfig, folder: Path) -> "Summary":
    from qnal.config.schema import Stage
    from qnal.config.validation import validated
    from qnal.job_lock import hold
    from qnal.stages import Job, stage_function
    from qnal.tracking import open_recorder

    config = validated(raw)
    if config.stage is None:
        raise ConfigError(f"stage is not set; choose one of {', '.join(Stage)}.")
    executor = _executor(config.executor)
    with hold(config.work / ".jobs") as lock:
        recorder = open_recorder(config.tracking, config.work, lock)
        summary = stage_function(config.stage)(config, Job(folder, recorder, executor))
    if command := recorder.how_to_look():
        summary.notes.append(f"results: {command}")
    return summary


def _executor(settings: dict[str, Any]) -> Callable[[int], Executor]:
    """A function that makes the configured executor, given the number of threads per task."""
    from qnal.config.plugin import check_settings

    target = settings["_target_"]
    try:
        make = instantiate(settings, _partial_=True)
    except HydraException as error:
        raise ConfigError(
            f"executor._target_={target} cannot be imported; it takes the full name of a "
            "concurrent.futures.Executor, or choose one by executor=local, serial, threads, dask "
            "or slurm."
        ) from error
    check_settings(make.func, settings, "executor")
    # Executors of other packages have no argument for the threads of a task.
    takes_threads = target.startswith("qnal.")
    return lambda threads: make(threads=threads) if takes_threads else make()


def refused_by_hydra(error: Exception) -> QnalError | None:
    """What Hydra refuses, in one sentence that names what would be valid; None for a bug."""
    from qnal.config.validation import unknown_choice

    causes = list(_causes(error))
    if ours := next((e for e in causes if isinstance(e, QnalError)), None):
        return ours
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        return ConfigError(unknown_choice(group, choice, error.options))
    if isinstance(error, OSError) and error.filename is not None:
        return ConfigError(f"{error.filename}: {error.strerror}.")
    if isinstance(error, OverrideParseException):
        return ConfigError(_unreadable(error))
    for cause in causes:
        if isinstance(cause, ConfigAttributeError | ConfigKeyError):
            return ConfigError(_not_a_key(cause))
    if isinstance(error, HydraException | OmegaConfBaseException | ValueError):
        first = str(error).strip().partition("\n\n")[0]
        return ConfigError(" ".join(first.split()).rstrip(".") + ".")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _not_a_key(error: ConfigAttributeError | ConfigKeyError) -> str:
    from qnal.config.plugin import unknown_key

    key, section = str(error.full_key), error.parent_node
    if section:
        return unknown_key(key, (str(name) for name in section if name != "hydra"))
    name = key.rpartition(".")[0]
    advice = "; add data=mock" if name.startswith("data.mock") else ""
    return f"{key} cannot be set, because {name} is null{advice}."


def _unreadable(error: OverrideParseException) -> str:
    if "=" not in error.override and not error.override.startswith("~"):
        return f"{error.override!r} is not a setting; write key=value, such as stage=train."
    reason = error.message.splitlines()[1]
    return (
        f"{error.override!r} cannot be parsed ({reason}); put values with special characters into "
        "double quotes within single quotes, such as 'lines.names=[LYA,\"CIV(1548)\"]'."
    )


def usage() -> str:
    """What the command can do, with the config groups and experiments there are."""
    groups = sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "experiment")
    lines = [f"  {group}={'|'.join(_choices(group))}" for group in groups]
    return USAGE.format(experiments=", ".join(_choices("experiment")), groups="\n".join(lines))


def _choices(group: str) -> list[str]:
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


def _refuse(error: Exception) -> str:
    """Print why a job is refused; returns the sentence."""
    sentence = str(error)
    if isinstance(error, OSError):
        sentence = f"{error.filename}: {error.strerror}."
    print(f"error: {sentence}", file=sys.stderr)
    return sentence


def _folder(path: object) -> str:
    if not isinstance(path, str) or not path.strip():
        raise ConfigError(f"work_dir={path} cannot be used; it takes the path of a folder.")
    return path


# Hydra makes the run folder before it calls the job, so conf/config.yaml checks work_dir by this.
OmegaConf.register_new_resolver("qnal.folder", _folder, replace=True)
