"""stage=query: the spectra most worth inspecting."""

import math
from pathlib import Path

import numpy as np

from qnal.config.schema import Config
from qnal.errors import ConfigError, InputError
from qnal.progress import say
from qnal.query.figures import entropy_histogram, funnel, gallery
from qnal.query.select import select
from qnal.query.selection import Selection
from qnal.scores.dataset import ScoresFolder
from qnal.spectra.grid import Grid, named_grid
from qnal.spectra.readers.desi import read_coadd
from qnal.spectra.spectra_file import SpectraFile, find_coadds, paths_of
from qnal.stages import Job
from qnal.stages.work_folder import LATEST, given_or_latest, set_latest, to_dict
from qnal.summary import Summary
from qnal.tracking import Run

GALLERY = 6  # spectra shown in the picture


def query(config: Config, job: Job) -> Summary:
    """Rank, filter and write out the targets for inspection."""
    options = config.query
    path = given_or_latest(config, options.scores, "query.scores", "scores")
    if path is None:
        raise ConfigError(
            f"query.scores is not set and {config.work_dir}/{LATEST} names no scores; give a "
            "scores dataset or a table, or run stage=infer first."
        )
    parts, bmu, cells, pool = _scores(config, path)
    incomplete = _unscored(path)
    with job.recorder.run("query", job.parent, {"qnal.stage": "query"}) as run:
        run.config(to_dict(config))
        selection = select(
            parts,
            n=options.n,
            bmu=bmu,
            strategy=options.strategy,
            som_percentile=options.som_percentile,
            cells=cells,
            som_counts=options.som_counts,
            max_outlier=options.max_outlier,
            camera=options.camera,
            exclude=paths_of(options.exclude, "query.exclude"),
            bad_camera_targetids=paths_of(options.bad_cameras, "query.bad_cameras"),
        )
        notes = [*incomplete, *selection.notes]
        targets, table = selection.write(job.folder)
        metrics = {
            "selected": len(selection),
            "cut": selection.cut,
            "on_several_tiles": selection.on_several_tiles,
        }
        run.metrics(metrics | {f"funnel_{i}": rows for i, (_, rows) in enumerate(selection.funnel)})
        run.dictionary({"funnel": selection.funnel, "notes": notes}, "funnel.json")
        run.file(targets)
        run.file(table)
        run.figure(entropy_histogram(selection), job.folder / "entropy.png")
        run.figure(funnel(selection), job.folder / "funnel.png")
        _record_gallery(selection, pool, config, job, run)
        set_latest(config.work, "selection", table)
    return Summary(
        "query",
        mlflow_run_id=run.id,
        paths={"selection": str(table), "targetids": str(targets), "scores": str(path)},
        metrics=metrics,
        funnel=selection.funnel,
        notes=notes,
    )


def _scores(config: Config, path: Path) -> tuple[Path, Path | None, int | None, object]:
    """Where scores and best cells are, how many cells the map has, and the pool they are of."""
    if path.is_file():  # a table of the reference's columns
        return path, None, math.prod(config.som.shape), None
    folder = ScoresFolder(path)
    description = folder.description()
    som, pool = description.som, description.pool
    if som is None:
        return folder.parts, None, None, pool
    return folder.parts, folder.bmus(som.fingerprint), som.cells, pool


def _unscored(path: Path) -> list[str]:
    """A note if files of the pool have no scores."""
    if path.is_file():
        return []
    folder = ScoresFolder(path)
    files, scored = folder.description().files, len(list(folder.parts.rglob("*.parquet")))
    if scored >= files:
        return []
    return [f"{files - scored} of the pool's {files} files are not scored; run stage=infer again."]


def _record_gallery(selection: Selection, pool: object, config: Config, job: Job, run: Run) -> None:
    """A picture of the first spectra; without their files the query is as good."""
    if pool is None or "FILE" not in selection.table.column_names:
        return
    first = selection.table.slice(0, GALLERY).to_pylist()
    grid = named_grid(config.network.grid)
    try:
        files = {file.name: file for file in find_coadds(pool, "data.pool")}  # type: ignore[arg-type]
        spectra = [_spectrum(files[row["FILE"]], row["ROW"], grid, config) for row in first]
    except (InputError, KeyError) as error:
        say(f"no picture of the selected spectra: {error}")
        return
    run.figure(gallery(first, spectra, grid.wave), job.folder / "selected_spectra.png")


def _spectrum(file: SpectraFile, row: int, grid: Grid, config: Config) -> np.ndarray:
    spectrum: np.ndarray = read_coadd(file, grid, config.data.use_mask).x[row]
    return spectrum
