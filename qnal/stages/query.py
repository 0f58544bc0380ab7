"""stage=query: select the targets most worth inspecting."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnal.config.schema import Config
from qnal.errors import ConfigError, QnalError
from qnal.progress import say
from qnal.query.figures import funnel, utility_histogram
from qnal.query.gallery import gallery, read_selected
from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.query.selection import Selection
from qnal.scores.dataset import ScoresFolder
from qnal.spectra.grid import named_grid
from qnal.spectra.spectra_file import paths_of
from qnal.stages import Job
from qnal.stages.work_folder import LATEST, WorkFolder, to_dict
from qnal.summary import Summary
from qnal.tracking import Run

GALLERY = 6  # spectra in the gallery


def query(config: Config, job: Job) -> Summary:
    """Rank and filter the scored spectra, and write the selected targets."""
    path = WorkFolder(config.work).given_or_latest(config.query.scores, "query.scores", "scores")
    if path is None:
        raise ConfigError(
            f"query.scores is not set and {config.work_dir}/{LATEST} names no scores; give a "
            "scores dataset or a table, or run stage=infer first."
        )
    scores = _Scores.at(path, config)
    with job.recorder.run("query", job.parent, {"qnal.stage": "query"}) as run:
        run.config(to_dict(config))
        selection = select(scores.parts, _options(config), scores.bmu, scores.cells)
        notes = [*scores.notes, *selection.notes]
        targets, table = selection.write(job.folder)
        metrics = {
            "selected": len(selection),
            "cut": selection.cut,
            "on_several_tiles": selection.on_several_tiles,
            "control": selection.control,
            "control_population": selection.control_population,
        }
        run.metrics(metrics | {f"funnel_{i}": rows for i, (_, rows) in enumerate(selection.funnel)})
        run.dictionary({"funnel": selection.funnel, "notes": notes}, "funnel.json")
        run.file(targets)
        run.file(table)
        run.figure(utility_histogram(selection), job.folder / "utility.png")
        run.figure(funnel(selection), job.folder / "funnel.png")
        _record_gallery(selection, scores, config, job, run)
        WorkFolder(config.work).set_latest("selection", table)
    return Summary(
        "query",
        mlflow_run_id=run.id,
        paths={"selection": str(table), "targetids": str(targets), "scores": str(path)},
        metrics=metrics,
        funnel=selection.funnel,
        notes=notes,
    )


def _options(config: Config) -> QueryOptions:
    settings = config.query
    return QueryOptions(
        n=settings.n,
        control=settings.control,
        seed=config.seed,
        strategy=settings.created_strategy(),
        som_percentile=settings.som_percentile,
        som_counts=settings.som_counts,
        max_outlier=settings.max_outlier,
        redrock=settings.redrock,
        camera=settings.camera,
        exclude=paths_of(settings.exclude, "query.exclude"),
        bad_cameras=paths_of(settings.bad_cameras, "query.bad_cameras"),
        memory_limit=settings.memory_limit,
        temp_dir=None if settings.temp_dir is None else Path(settings.temp_dir).expanduser(),
    )


@dataclass(frozen=True)
class _Scores:
    """The scores to query.

    Attributes:
        parts: a table, or the folder of a dataset's parts.
        bmu: folder of their BMUs; None where there are none beside the scores.
        cells: number of cells of the SOM; None if there is no SOM.
        notes: sentences for the user.
        pool, grid: of the spectra; None for a table.
    """

    parts: Path
    bmu: Path | None
    cells: int | None
    notes: list[str]
    pool: Any = None
    grid: str | None = None

    @classmethod
    def at(cls, path: Path, config: Config) -> "_Scores":
        """The scores dataset or table at a path; a table's SOM has the shape ``som.shape``."""
        if path.is_file():
            return cls(path, None, math.prod(config.som.shape), [])
        folder = ScoresFolder(path)
        description = folder.description()
        files, scored = description.files, len(list(folder.parts.rglob("*.parquet")))
        missing = f"{files - scored} of the pool's {files} files have no scores; run stage=infer."
        som = description.som
        return cls(
            folder.parts,
            folder.bmus(som.fingerprint) if som else None,
            som.cells if som else None,
            [missing] if scored < files else [],
            description.pool,
            description.grid,
        )


def _record_gallery(
    selection: Selection, scores: _Scores, config: Config, job: Job, run: Run
) -> None:
    """Record a figure of the first selected spectra, if they can be read."""
    if scores.pool is None or scores.grid is None:
        return
    try:
        grid = named_grid(scores.grid)
        spectra, failed = read_selected(selection, scores.pool, grid, config.data.use_mask, GALLERY)
    except QnalError as error:
        say(f"no gallery of the selected spectra: {error}")
        return
    for sentence in failed:
        say(f"not in the gallery: {sentence}")
    if spectra:
        run.figure(gallery(spectra, grid.wave), job.folder / "selected_spectra.png")
