"""The command line: compose the configuration, check it, dispatch to a stage.

Nothing else in qnal knows Hydra.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser  # Hydra's own reading of its options
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig

from qnal.errors import ConfigError, QnalError

DONE, REFUSED, INCOMPLETE = 0, 1, 3
INTERRUPTED = 130  # as shells have it
EXIT_CODES = {"done": DONE, "refused": REFUSED, "incomplete": INCOMPLETE}
STAGES = ("train", "som", "infer", "query", "mock", "pipeline")

# A link to the checkout's conf/; a wheel holds the files themselves.
CONF = Path(__file__).parent / "conf"

USAGE = """\
qnal decides which spectra people should look at next.

  qnal stage=STAGE [key=value ...]         run a stage
  qnal experiment=NAME [key=value ...]     run a whole experiment: {experiments}
  qnal -m stage=STAGE key=a,b [...]        run one job for each combination of values

stages
  train      labelled spectra -> an ensemble of QuasarNETs on bootstrapped labels
  som        a pool of spectra -> a self-organising map, which tells rare spectra
  infer      a pool and an ensemble -> scores: votes, redshifts, disagreement
  query      scores -> the spectra most worth inspecting
  pipeline   train, som, infer and query, one after the other
  mock       write the built-in mock survey as real files

examples
  qnal experiment=demo
  qnal stage=train data.boss.spectra=dr12_train.fits data.boss.truth=truth_dr12q.fits \\
       data.desi.spectra='coadds/*.fits' data.desi.truth=vi.csv \\
       ensemble.n=200 train.epochs=10 train.amsgrad=true
  qnal stage=infer ensemble.path=work/ensembles/... data.pool=tiles/perexp
  qnal stage=query query.n=1000
  qnal -m stage=train data=mock network.layers=4,6 train.learning_rate=1e-4,2e-4

choices of a group (group=choice)
{groups}

  qnal --cfg job stage=train   prints all keys with their values
  qnal --hydra-help            what else the command line can do
Results go to work_dir (work/); `mlflow ui --backend-store-uri sqlite:///work/mlflow.db` shows them.
"""


def main() -> None:
    """Entry point of the ``qnal`` command."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if arguments[0] == "--version":
        print(f"qnal {version('qnal')}")
        return
    # Hydra then raises what goes wrong, for us to say it, instead of printing a part of it.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    codes: list[int] = []

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def job(raw: DictConfig) -> None:
        # In a multirun a refused job must not keep the others from running.
        codes.append(run(raw, Path(HydraConfig.get().runtime.output_dir)))

    try:
        _check_arguments(arguments)
        job()
    except QnalError as error:
        _refuse(error)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one was", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except HydraException as error:
        _refuse(ConfigError(" ".join(str(error).split()).rstrip(".") + "."))
        sys.exit(REFUSED)
    except OSError as error:
        if error.filename is None:
            raise
        _refuse(ConfigError(f"{error.filename}: {error.strerror}."))
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
    from qnal.config.schema import Stage
    from qnal.config.validation import validated
    from qnal.job_lock import hold
    from qnal.stages import Job, stage_function
    from qnal.summary import Summary
    from qnal.tracking import open_recorder

    stage = raw.get("stage")
    try:
        config = validated(raw)
        if config.stage is None:
            raise ConfigError(f"stage is not set; choose one of {', '.join(Stage)}.")
        with hold(config.work / ".jobs") as lock:
            recorder = open_recorder(config.tracking, config.work, lock)
            job = Job(folder, recorder, _executor(config.executor))
            summary = stage_function(config.stage)(config, job)
        if where := job.recorder.how_to_look():
            summary.notes.append(f"results: {where}")
    except QnalError as error:
        if raw.get("debug") is True:
            traceback.print_exc()
        _refuse(error)
        summary = Summary(str(stage), status="refused", error=str(error))
    except OSError as error:
        if error.filename is None or raw.get("debug") is True:
            raise
        refusal = QnalError(f"{error.filename}: {error.strerror}.")
        _refuse(refusal)
        summary = Summary(str(stage), status="refused", error=str(refusal))
    try:
        summary.write(folder / "summary.json")
    except OSError as error:
        _refuse(QnalError(f"{folder}: the summary cannot be written ({error.strerror})."))
        return REFUSED
    if summary.error is None:
        summary.paths["summary"] = str(folder / "summary.json")
        summary.show()
    return EXIT_CODES[summary.status]


def _executor(settings: dict[str, Any]) -> Callable[[int], Executor]:
    """Makes the executor of the configuration; ours take the threads that a unit computes with."""
    target = settings.get("_target_")
    try:
        make = instantiate(settings, _partial_=True)
    except HydraException as error:
        raise ConfigError(
            f"executor._target_={target} cannot be imported; it takes the full name of a "
            "concurrent.futures.Executor, or choose one by executor=local, serial, threads, dask "
            "or slurm."
        ) from error
    ours = str(target).startswith("qnal.")
    return lambda threads: make(threads=threads) if ours else make()


def usage() -> str:
    """What the command can do, with the groups and experiments there are."""
    lines = [f"  {g}={'|'.join(_choices(g))}" for g in _groups() if g != "experiment"]
    return USAGE.format(experiments=", ".join(_choices("experiment")), groups="\n".join(lines))


def _refuse(error: QnalError) -> None:
    print(f"error: {error}", file=sys.stderr)


def _groups() -> list[str]:
    return sorted(p.name for p in CONF.iterdir() if p.is_dir())


def _choices(group: str) -> list[str]:
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


def _check_arguments(arguments: list[str]) -> None:
    """Refuse unknown keys and choices before Hydra does, naming the valid ones."""
    try:
        parsed = get_args_parser().parse_args(arguments)
    except SystemExit as error:  # it has said what it does not understand, and would exit with 2
        sys.exit(REFUSED if error.code else DONE)
    if parsed.config_dir or parsed.config_path or parsed.config_name:
        return  # another configuration may have other keys and choices
    overrides = list(_overrides(parsed.overrides))
    given = {override.key_or_group for override in overrides}
    for override in overrides:
        key = override.key_or_group
        if key.startswith("data.mock.") and not given & {"data", "experiment"}:
            raise ConfigError(f"{key} belongs to the mock survey; add data=mock.")
        if key == "work_dir" and not override.is_sweep_override():
            _check_folder(override.value())
        if key.split(".")[0] == "hydra" or key.startswith("hydra/"):
            continue
        if key in _groups():
            _check_choice(key, override)
        elif not override.is_add():
            from qnal.config.validation import is_known_key, unknown_key

            if not is_known_key(key):
                raise ConfigError(unknown_key(key))


def _check_folder(value: object) -> None:
    """Refuse what Hydra would make a folder of all the same, called None or in the root."""
    if not isinstance(value, str | QuotedString) or not str(getattr(value, "text", value)).strip():
        raise ConfigError(f"work_dir={value} cannot be used; it takes the path of a folder.")


def _check_choice(group: str, override: Override) -> None:
    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    choices = _choices(group)
    for one in values:
        if isinstance(one, str) and not one.startswith("$") and one not in choices:
            raise ConfigError(
                f"{group}={one}: there is no such choice; valid ones: {', '.join(choices)}."
            )


def _overrides(arguments: list[str]) -> Iterator[Override]:
    parser = OverridesParser.create()
    for text in arguments:
        if "=" not in text and not text.startswith("~"):
            raise ConfigError(f"{text!r} is no setting; one reads key=value, such as stage=train.")
        try:
            yield parser.parse_override(text)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"{text!r} cannot be read ({reason}); put values with special characters into "
                "double quotes within single ones, such as 'lines.names=[LYA,\"CIV(1548)\"]'."
            ) from error
