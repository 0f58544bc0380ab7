"""stage=inspect: an HTML file in which people label the selected spectra."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnal.config.schema import Config, Stage
from qnal.errors import ConfigError, InputError
from qnal.inspection.inspect_task import InspectOptions, Pages, make_pages
from qnal.inspection.page import page_size
from qnal.inspection.selected import SelectedTargets
from qnal.progress import progress, say
from qnal.scores.dataset import ScoresFolder
from qnal.spectra.spectra_file import common_folder, paths_of
from qnal.stages import Job
from qnal.stages.selection_scores import scores_of
from qnal.stages.work_folder import LATEST, WorkFolder
from qnal.summary import Number, Summary
from qnal.tracking import Note


def inspect(config: Config, job: Job) -> Summary:
    """Write the inspection page of the last selection, or of ``inspect.selection``."""
    work = WorkFolder(config.work)
    path = work.given_or_latest(config.inspect.selection, "inspect.selection", "selection")
    if path is None:
        raise ConfigError(
            f"inspect.selection is not set and {config.work_dir}/{LATEST} names no selection; give "
            "a selection.csv or .parquet, or run stage=query first."
        )
    selection = SelectedTargets.read(path)
    source = _Source.of(path, config, selection)
    options = InspectOptions(
        folder=source.folder,
        reader=config.created_reader(source.reader),
        blind=config.inspect.blind,
        seed=config.seed,
        per_page=config.inspect.per_page,
        title=config.inspect.title,
        scores=source.scores,
        predictions=config.work / "predictions",
    )
    with job.run(config, Stage.inspect, f"inspect {len(selection.rows):,} targets") as run:
        with progress("inspection page", len(selection.rows)) as advance:
            pages = make_pages(selection, options, job.folder, advance)
        for page in pages.paths:
            run.file(page)
        metrics: dict[str, Number] = {
            "spectra": pages.spectra,
            "pages": len(pages.paths),
            "page_megabytes": round(max(map(page_size, pages.paths)), 1),
            "with_member_redshifts": pages.with_members,
        }
        run.metrics(metrics)
    paths = _paths(pages)
    run.note(
        Note(
            f"Inspection page of {pages.spectra:,} targets; it is among the artifacts.",
            {"selection": str(path)} | paths,
            metrics,
            remarks=pages.failed[:20],
            next_step={
                "take in the labels": job.command(
                    Stage.label, f"label.selection={path}", "label.tables=desi-vi_*.csv"
                )
            },
        )
    )
    return Summary(
        "inspect",
        status="incomplete" if pages.failed else "done",
        mlflow_run_id=run.id,
        paths=paths | {"selection": str(path)},
        metrics=metrics,
        failed=pages.failed,
        notes=[f"Open {paths['page']} in a browser; press ? in it for all keys."],
    )


def _paths(pages: Pages) -> dict[str, str]:
    """``page``, and ``page_2`` and so on where there are several."""
    names = ["page", *(f"page_{k}" for k in range(2, len(pages.paths) + 1))]
    return dict(zip(names, map(str, pages.paths), strict=True))


@dataclass(frozen=True)
class _Source:
    """Where the selected spectra come from.

    Attributes:
        folder: the folder that FILE is relative to.
        scores: the dataset that they were selected from; None if it is not known.
        reader: of the pool, if the dataset says so; None: that of the configuration.
    """

    folder: Path
    scores: ScoresFolder | None
    reader: dict[str, Any] | None = None

    @classmethod
    def of(cls, selection: Path, config: Config, targets: SelectedTargets) -> "_Source":
        """The scores named beside the selection or by the configuration, and their pool.

        A selection with absolute paths, or of suspected labels, needs neither.
        """
        if targets.absolute or targets.suspected:
            return cls(config.work, None)
        scores = _scores(selection, config)
        pool = config.data.pool
        if pool is None and scores is not None:
            pool = scores.description().pool
        if pool is None:
            raise ConfigError(
                f"{selection}: it is not known which pool it was selected from; set data.pool."
            )
        reader = None if scores is None else scores.description().reader
        return cls(common_folder(paths_of(pool, "data.pool")), scores, reader)


def _scores(selection: Path, config: Config) -> ScoresFolder | None:
    """The scores dataset of a selection."""
    if config.query.scores is not None:
        path: Path | None = Path(config.query.scores).expanduser().absolute()
    else:
        work = WorkFolder(config.work)
        path = scores_of(selection, work) or work.latest("scores")
    if path is None or not path.is_dir():
        return None
    scores = ScoresFolder(path)
    try:
        scores.description()
    except InputError as error:
        say(f"the redshifts of the members are not shown: {error}")
        return None
    return scores
