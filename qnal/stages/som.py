"""stage=som: fit the SOM by which the query drops rare spectra."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.config.schema import Config, Stage
from qnal.config.scoring_keys import SomBackend
from qnal.ensemble.folder import EnsembleFolder
from qnal.errors import InputError, QnalError
from qnal.fingerprint import fingerprint
from qnal.labels.label import is_quasar
from qnal.progress import progress, say
from qnal.som.figures import som_figures
from qnal.som.som import SelfOrganizingMap
from qnal.som.somviz_backend import fit_with_somviz
from qnal.spectra.file_sample import sample_files
from qnal.spectra.grid import Grid, named_grid
from qnal.spectra.row_condition import RowCondition
from qnal.stages import Job
from qnal.stages.conditions import row_condition
from qnal.stages.inputs import ensemble_path, labelled_set, pool, with_survey
from qnal.stages.work_folder import WorkFolder
from qnal.summary import Number, Summary
from qnal.tracking import Note

FILES = ("weights.npy", "loss.npy", "cell_statistics.npz", "som.json")
FIT_VERSION = 2  # bump this number when the same settings give another SOM


def som(config: Config, job: Job) -> Summary:
    """Fit a SOM to a sample of the pool or of ``som.spectra``, unless it exists already."""
    config = with_survey(config)
    grid = som_grid(config)
    given = config.som.spectra is not None
    reader = config.created_reader()
    condition = row_condition(config, "som", reader)
    files = reader.find(config.som.spectra, "som.spectra") if given else pool(config)
    stats = [(file.name, file.path.stat()) for file in files]
    versions = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    folder = WorkFolder(config.work).folder_for(
        "soms", som_fingerprint(config, grid, versions, condition)
    )
    failed: list[str] = []
    rows, columns = config.som.shape
    name = f"SOM {rows} × {columns}, {len(files):,} files"
    with job.run(config, Stage.som, name) as run:
        if (folder / "som.json").exists():
            say(f"using the SOM fitted before, {folder}")
            fitted = SelfOrganizingMap.load(folder)
        else:
            with progress("reading spectra", len(files)) as advance:
                x, failed = sample_files(
                    files, grid, config.som.sample, config.seed, reader=reader,
                    condition=condition,
                    strict=config.infer.strict, progress=advance,
                )  # fmt: skip
            _check_enough(x, len(files), failed)
            fitted = _fit(x, grid, config).with_statistics(x)
            fitted.save(folder)
        WorkFolder(config.work).set_latest("som", folder)
        metrics: dict[str, Number] = {"som_cells": fitted.cells}
        if fitted.statistics is not None:
            metrics |= fitted.statistics.metrics()
        metrics["som_files_failed"] = len(failed)
        run.metrics(metrics)
        run.curves({"quantization_error_by_pass": [float(v) for v in fitted.loss]})
        for name, figure in som_figures(fitted, grid.wave, _labelled(config, grid)).items():
            run.figure(figure, job.folder / name)
        run.input(
            "pool", fingerprint({"files": versions}), str(config.som.spectra or config.data.pool),
            metrics.get("som_spectra"), "som",
        )  # fmt: skip
        for name in FILES:
            run.file(folder / name, "som")
    status = "incomplete" if failed else "done"
    summary = Summary("som", status, run.id, {"som": str(folder)}, metrics, failed=failed)
    run.note(
        Note(
            f"A self-organising map of {rows} × {columns} cells, fitted to spectra of "
            f"{len(files):,} files; the query uses it to reject rare spectra.",
            {"SOM": str(folder)},
            metrics,
            "figures/som.png",
            failed,
            {"score the pool": job.command(Stage.infer)},
        )
    )
    return summary


def som_grid(config: Config) -> Grid:
    """The grid of the ensemble that will score the pool, if there is one, else ``network.grid``."""
    given = config.ensemble.path
    path = ensemble_path(config)
    if path is not None:
        try:
            stored = EnsembleFolder(path).read(config.lines.names, config.lines.bal, n=1)
            return stored.networks[0].grid
        except InputError as error:
            if given is not None:
                raise
            say(f"{error} Using network.grid={config.network.grid}.")
    return named_grid(config.network.grid)


def som_fingerprint(
    config: Config,
    grid: Grid,
    files: Sequence[tuple[str, int, int]],
    condition: RowCondition | None = None,
) -> str:
    """Fingerprint of all that determines the SOM; it contains no path.

    Args:
        config: the configuration.
        grid: grid of the spectra.
        files: name within the pool, size and modification time (ns) of each file.
        condition: which spectra it is fitted to; None: all.
    """
    options = config.som
    made_from: dict[str, Any] = {
        "version": FIT_VERSION,
        "shape": list(options.shape),
        "epochs": options.epochs,
        "sample": options.sample,
        "seed": config.seed,
        "grid": grid.name,
        "files": [list(file) for file in files],
    }
    # Settings at these values are left out, so that fingerprints do not change when a setting is
    # added.
    if options.backend is not SomBackend.qnal:
        made_from["backend"] = str(options.backend)
    if not options.wrap:
        made_from["wrap"] = False
    made_from |= config.created_reader().key() | (condition.key() if condition else {})
    if grid.name == "custom":
        made_from["wave"] = hashlib.sha256(grid.wave.tobytes()).hexdigest()
    return fingerprint(made_from)


def _check_enough(x: NDArray[np.float32], files: int, failed: Sequence[str]) -> None:
    if len(x) < 2:
        first = f"; the first file that failed: {failed[0]}" if failed else "."
        raise InputError(
            f"a SOM needs at least 2 usable spectra, but {files} files have {len(x)}{first}"
        )


def _fit(x: NDArray[np.float32], grid: Grid, config: Config) -> SelfOrganizingMap:
    options = config.som
    rows, columns = options.shape
    wrap = (options.wrap, options.wrap)
    if options.backend is SomBackend.somviz:
        return fit_with_somviz(x, (rows, columns), wrap, config.seed, grid.name)
    with progress("fitting the SOM", options.epochs) as advance:
        return SelfOrganizingMap.fit(
            x,
            (rows, columns),
            seed=config.seed,
            epochs=options.epochs,
            wrap=wrap,
            grid=grid.name,
            progress=lambda _, loss: advance(1, f"quantization error {loss:.3f}"),
        )


def _labelled(config: Config, grid: Grid) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
    """The labelled spectra and whether each is a quasar; None if there are none to be read."""
    sources = (config.data.desi, config.data.boss, config.data.labelled)
    if all(source.spectra is None or source.truth is None for source in sources):
        return None
    try:
        labelled = labelled_set(config, grid)
    except QnalError as error:
        say(f"the figures of the SOM do not show the labelled spectra: {error}")
        return None
    return labelled.x, np.asarray(is_quasar(labelled.column("LABEL")))
