"""Opens and closes a sweep; Hydra calls it because ``conf/config.yaml`` names it."""

import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from qnal.job import REFUSED, as_given, is_refusal, refuse
from qnal.job_lock import hold
from qnal.progress import say
from qnal.sweep.place import Place, SweepDescription, as_mapping, label_of, name_of, title_of
from qnal.sweep.table import SweepTable, as_text
from qnal.tracking.sweep import FILE as MLFLOW_RUN

if TYPE_CHECKING:
    from qnal.tracking import Note

NOTE_METRICS, NOTE_JOBS = 6, 40  # columns and rows of the table in a sweep's note


class SweepCallback(Callback):
    """Describes a sweep to its jobs when it starts, and makes its table when it has ended.

    Hydra turns errors of callbacks into warnings, and calls none if a launcher fails. The command
    therefore calls :func:`finish` too, which does nothing the second time.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Write ``sweep.json``, from which jobs learn in what they differ."""
        try:
            Sweep.current = Sweep(config)
        except Exception as error:
            if not is_refusal(error):
                traceback.print_exc()
            refuse(error)
            raise SystemExit(REFUSED) from error  # Hydra would go on after any other exception

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the table and the figure, and end the sweep's MLflow run."""
        finish()

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Sweep:
    """The sweep that this process has launched.

    Attributes:
        current: the one that is running, or has ended last.
        folder: its folder.
        exit_code: worst exit code of its jobs; None until it has ended.
    """

    current: "Sweep | None" = None

    def __init__(self, config: DictConfig) -> None:
        self.folder = Path(config.hydra.sweep.dir).absolute()
        self.exit_code: int | None = None
        self._records = config.hydra.output_subdir
        self._objective = OmegaConf.select(config, "objective")
        self._held = ExitStack()
        lock = self._held.enter_context(hold(self._work(config) / ".jobs"))
        given = as_given(config.hydra.overrides.task)
        parsed = OverridesParser.create().parse_overrides(given)
        varied = [o.get_key_element() for o in parsed if o.is_sweep_override()]
        # Sweepers that search for the best values are told where to search by their settings.
        varied += [str(key) for key in config.hydra.sweeper.get("params") or {}]
        launcher = OmegaConf.select(config, "hydra.launcher._target_")
        keys = [key.lstrip("+") for key in varied]
        # The folder may be that of an earlier sweep.
        (self.folder / MLFLOW_RUN).unlink(missing_ok=True)
        SweepDescription(
            keys, launcher, str(lock), str(OmegaConf.select(config, "stage") or "")
        ).write(self.folder)

    def _work(self, config: DictConfig) -> Path:
        """The work folder; the sweep's folder if each job has a work folder of its own."""
        try:
            return Path(config.work_dir).expanduser().absolute()
        except OmegaConfBaseException:  # such as ${hydra:job.num}, which only a job has
            return self.folder

    def end(self, status: str) -> None:
        """Write and print the table, write the figure, and end the MLflow run with ``status``."""
        from qnal.sweep.figure import draw
        from qnal.tracking.sweep import closing

        table = SweepTable.read(self.folder, self._records, self._objective)
        if status == "FINISHED" and table.exit_code == REFUSED:
            status = "FAILED"
        with closing(self.folder, status) as run:
            if table.jobs:
                table.write(self.folder / "sweep.csv")
                run.file(self.folder / "sweep.csv")
                counts = {"jobs": len(table.jobs)}
                done = sum(job.summary.status == "done" for job in table.jobs)
                run.metrics(counts | {"jobs_done": done})
                figure = draw(table)
                if figure is not None:
                    run.figure(figure, self.folder / "sweep.png")
                run.note(_note(table, "figures/sweep.png" if figure else None))
                table.show()
                print(f" sweep  {self.folder / 'sweep.csv'}")
        self._held.close()
        self.exit_code = table.exit_code


def _note(table: SweepTable, figure: str | None) -> "Note":
    """The note of a sweep's run: its table, with the key metrics that differ."""
    from qnal.tracking import Note

    metrics = table.compared()[:NOTE_METRICS]
    rows = [["", *metrics, "status"], ["---"] * (len(metrics) + 2)]
    for label, job in zip(table.labels(), table.jobs, strict=True):
        values = (job.summary.metrics.get(name) for name in metrics)
        rows.append([f"`{label}`", *map(as_text, values), job.summary.status])
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows[: NOTE_JOBS + 2])
    done = sum(job.summary.status == "done" for job in table.jobs)
    varied = ", ".join(f"`{key}`" for key in table.varied) or "nothing"
    remarks = ["`sweep.csv` among the artifacts has all metrics, run ids and paths."]
    remarks += [f"{j.number}: {j.summary.error}" for j in table.jobs if j.summary.error][:NOTE_JOBS]
    what = f"{len(table.jobs)} jobs, of which {done} are done; they differ in {varied}."
    return Note(f"{what}\n\n{lines}", figure=figure, remarks=remarks)


def finish(status: str = "FINISHED") -> None:
    """End the current sweep, if there is one that has not ended.

    Args:
        status: of its MLflow run: FINISHED, FAILED or KILLED.
    """
    if Sweep.current is not None and Sweep.current.exit_code is None:
        Sweep.current.end(status)


def place_of(settings: Any) -> Place:
    """The place in its sweep of the job that this process runs.

    Args:
        settings: Hydra's settings of the job, ``HydraConfig.get()``.
    """
    folder = Path(settings.runtime.cwd) / settings.sweep.dir
    sweep = SweepDescription.read(folder)
    wanted = OmegaConf.select(settings, "launcher._target_")
    if sweep.launcher and wanted != sweep.launcher:
        say(
            f"warning: an experiment asks for the launcher {wanted}, but one launcher runs all "
            "jobs of a sweep; give hydra/launcher=… on the command line."
        )
    overrides = as_mapping(as_given(settings.overrides.task))
    label = label_of(overrides, sweep.varied) or f"job {settings.job.num}"
    lock = None if sweep.lock is None else Path(sweep.lock)
    title = title_of(sweep.stage, sweep.varied)
    name = name_of(overrides, sweep.varied) or label
    return Place(folder, int(settings.job.num), label, lock, title, name)
