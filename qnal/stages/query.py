"""stage=query: select the targets most worth inspecting."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnal.config.schema import Config, Stage
from qnal.errors import ConfigError, QnalError
from qnal.fingerprint import fingerprint
from qnal.progress import say
from qnal.query.figures import funnel, utility_histogram
from qnal.query.gallery import gallery, read_selected
from qnal.query.options import QueryOptions
from qnal.query.pick_figures import pick_figures
from qnal.query.select import select
from qnal.query.selection import Selection
from qnal.query.selection_files import write_prospect
from qnal.scores.dataset import ScoresFolder
from qnal.som.som import SelfOrganizingMap
from qnal.spectra.grid import named_grid
from qnal.spectra.spectra_file import common_folder, paths_of
from qnal.stages import Job
from qnal.stages.work_folder import LATEST, WorkFolder
from qnal.summary import Summary
from qnal.tracking import Note, Run

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
    strategy = config.query.created_strategy().name
    name = f"query {config.query.n:,} by {strategy} from {path.name}"
    with job.run(config, Stage.query, name, {"qnal.scores": path.name}) as run:
        run.params({"scores": path})
        prototypes = None if scores.som is None else scores.som.weights
        selection = select(
            scores.parts, _options(config), scores.bmu, scores.cells, prototypes, scores.members
        )
        run.input("scores", _digest(path), path, selection.funnel[0][1], "query")
        notes = [*scores.notes, *selection.notes]
        pool = None if scores.pool is None else common_folder(paths_of(scores.pool, "data.pool"))
        where = {"scores": str(path), "pool": None if pool is None else str(pool)}
        targets, table = selection.write(job.folder, where)
        more = {name: str(table.with_suffix(f".{name}")) for name in ("fits", "parquet", "json")}
        paths = {f"selection_{name}": file for name, file in more.items()}
        if pool and (command := write_prospect(job.folder, selection.table, pool, targets)):
            paths["prospect"] = str(command)
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
        for file in paths.values():
            run.file(Path(file))
        run.figure(utility_histogram(selection), job.folder / "utility.png")
        run.figure(funnel(selection), job.folder / "funnel.png")
        if selection.pool is not None:
            shape = None if scores.som is None else scores.som.shape
            for name, figure in pick_figures(selection, selection.pool, shape).items():
                run.figure(figure, job.folder / name)
        _record_gallery(selection, scores, config, job, run)
        if job.sets_latest:
            WorkFolder(config.work).set_latest("selection", table)
    summary = Summary(
        "query",
        mlflow_run_id=run.id,
        paths={"selection": str(table), "targetids": str(targets), "scores": str(path)} | paths,
        metrics=metrics,
        funnel=selection.funnel,
        notes=notes,
    )
    run.note(_note(summary, selection, strategy, job))
    return summary


def _note(summary: Summary, selection: Selection, strategy: str, job: Job) -> Note:
    control = selection.control or 0
    what = f"{len(selection) - control:,} targets selected by {strategy}"
    if control:
        what += (
            f", and {control:,} control picks drawn from {selection.control_population:,} targets"
        )
    return Note(
        f"{what}.",
        {name: summary.paths[name] for name in ("scores", "selection")},
        {
            "scored": selection.funnel[0][1],
            "selected": len(selection),
            "lowest utility": selection.cut,
            "on several tiles": selection.on_several_tiles,
        },
        "figures/funnel.png",
        summary.notes,
        {"label them": job.command(Stage.inspect)} if job.sets_latest else {},
    )


def _digest(scores: Path) -> str:
    """A dataset is named by its fingerprint; a table is known by its size and time."""
    if scores.is_dir():
        return scores.name
    stat = scores.stat()
    return fingerprint({"name": scores.name, "size": stat.st_size, "time": stat.st_mtime_ns})


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
        labels=WorkFolder(config.work).given_or_latest(settings.labels, "query.labels", "labels"),
        distributions=True,
        steps=settings.created_filters(),
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
        som: the SOM of the BMUs, if it is at hand.
        members: number of members of the ensemble, if known.
        pool, grid: of the spectra; None for a table.
        reader: of the pool, where it is not that of the configuration.
    """

    parts: Path
    bmu: Path | None
    cells: int | None
    notes: list[str]
    som: SelfOrganizingMap | None = None
    members: int | None = None
    pool: Any = None
    grid: str | None = None
    reader: dict[str, Any] | None = None

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
            _som(config, som.fingerprint) if som else None,
            len(description.checksums),
            description.pool,
            description.grid,
            description.reader,
        )


def _som(config: Config, fingerprint: str) -> SelfOrganizingMap | None:
    """The SOM that BMUs are of: ``som.path`` or the latest one, if it has the fingerprint."""
    work = WorkFolder(config.work)
    given = None if config.som.path is None else Path(config.som.path).expanduser().absolute()
    rows, columns = config.som.shape
    for path in (given, work.latest("som")):
        if path is None or not path.exists():
            continue
        described = (path / "som.json").exists()
        form = ((rows, columns), (config.som.wrap, config.som.wrap))
        try:
            som = SelfOrganizingMap.load(path) if described else SelfOrganizingMap.load(path, *form)
        except QnalError:
            continue
        if som.fingerprint == fingerprint:
            return som
    return None


def _record_gallery(
    selection: Selection, scores: _Scores, config: Config, job: Job, run: Run
) -> None:
    """Record a figure of the first selected spectra, if they can be read."""
    if scores.pool is None or scores.grid is None:
        return
    try:
        grid = named_grid(scores.grid)
        reader = config.created_reader(scores.reader)
        spectra, failed = read_selected(selection, scores.pool, grid, reader, GALLERY)
    except QnalError as error:
        say(f"no gallery of the selected spectra: {error}")
        return
    for sentence in failed:
        say(f"not in the gallery: {sentence}")
    if spectra:
        run.figure(gallery(spectra, grid.wave), job.folder / "selected_spectra.png")
