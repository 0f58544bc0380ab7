"""stage=som: the map that tells common spectra from rare ones."""

import zlib

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from qnal.config.schema import Config, SomBackend
from qnal.ensemble.labelled_set import LabelledSet
from qnal.errors import InputError, QnalError
from qnal.fingerprint import fingerprint
from qnal.labels.label import is_quasar
from qnal.progress import progress, say
from qnal.som.figures import som_loss, som_map, som_prototypes
from qnal.som.som import SelfOrganizingMap
from qnal.som.somviz_backend import fit_with_somviz
from qnal.spectra.grid import Grid, named_grid
from qnal.spectra.readers.desi import find_coadds, read_coadd
from qnal.spectra.rebin import Status
from qnal.spectra.sample import SpectraSample
from qnal.spectra.spectra_file import SpectraFile
from qnal.stages import Job
from qnal.stages.inputs import labelled_set, pool, with_survey
from qnal.stages.work_folder import folder_for, set_latest, to_dict
from qnal.summary import Number, Summary

FILES = ("weights.npy", "loss.npy", "cell_statistics.npz", "som.json")
FIT = 2  # raised when the same options give another map


def som(config: Config, job: Job) -> Summary:
    """Fit a map on the pool, or on ``som.spectra``, unless the same one is there."""
    config = with_survey(config)
    options = config.som
    given = options.spectra is not None
    files = find_coadds(options.spectra, "som.spectra") if given else pool(config)
    grid = named_grid(config.network.grid)
    made_from = {
        "backend": options.backend,
        "fit": FIT,
        "shape": list(options.shape),
        "wrap": options.wrap,
        "epochs": options.epochs,
        "sample": options.sample,
        "seed": config.seed,
        "grid": grid.name,
        "use_mask": config.data.use_mask,
        "files": [(f.name, f.path.stat().st_size, f.path.stat().st_mtime_ns) for f in files],
    }
    folder = folder_for(config.work, "soms", fingerprint(made_from))
    failed: list[str] = []
    with job.recorder.run("som", job.parent, {"qnal.stage": "som"}) as run:
        run.config(to_dict(config))
        if (folder / "som.json").exists():
            say(f"the map is there already, in {folder}")
            fitted = SelfOrganizingMap.load(folder)
        else:
            x, failed = _sample(files, grid, config)
            fitted = _fit(x, config).with_statistics(x)
            fitted.save(folder)
        set_latest(config.work, "som", folder)
        metrics = _metrics(fitted) | {"som_files_failed": len(failed)}
        run.metrics(metrics)
        run.curves({"quantization_error_by_pass": [float(v) for v in fitted.loss]})
        for name, figure in _figures(fitted, grid, config).items():
            run.figure(figure, job.folder / name)
        for name in FILES:
            run.file(folder / name, "som")
    status = "incomplete" if failed else "done"
    return Summary("som", status, run.id, {"som": str(folder)}, metrics, failed=failed)


def _metrics(som: SelfOrganizingMap) -> dict[str, Number]:
    """How well the map represents the spectra it was fitted on."""
    metrics: dict[str, Number] = {"som_cells": som.cells}
    if som.statistics is not None:
        metrics["som_spectra"] = int(som.statistics.count.sum())
        metrics["som_empty_cells"] = int((som.statistics.count == 0).sum())
        metrics["quantization_error"] = som.statistics.quantization_error
        metrics["topographic_error"] = som.statistics.topographic_error
    return metrics


def _figures(som: SelfOrganizingMap, grid: Grid, config: Config) -> dict[str, Figure]:
    """What the map looks like, and where the labelled spectra lie on it."""
    counts = None if som.statistics is None else som.statistics.count
    labelled = _labelled(config, grid)
    if labelled is None:
        cells = som_map(som, counts)
    else:
        bmu, _ = som.find_bmu(labelled.x)
        number = np.bincount(bmu, minlength=som.cells)
        quasars = np.bincount(bmu, is_quasar(labelled.column("LABEL")), som.cells)
        share = np.divide(quasars, number, where=number > 0, out=np.full(som.cells, np.nan))
        cells = som_map(som, counts, labelled=number, quasars=share, quasars_by="labelled as")
    return {
        "som.png": cells,
        "som_prototypes.png": som_prototypes(som, grid.wave, counts),
        "som_loss.png": som_loss(som),
    }


def _labelled(config: Config, grid: Grid) -> LabelledSet | None:
    """The labelled spectra where there are some; a map does not need them."""
    sources = (config.data.desi, config.data.boss)
    if all(s.spectra is None or s.truth is None for s in sources):
        return None
    try:
        return labelled_set(config, grid)
    except QnalError as error:
        say(f"the labelled spectra are not shown on the map: {error}")
        return None


def _fit(x: NDArray[np.float32], config: Config) -> SelfOrganizingMap:
    rows, columns = config.som.shape
    wrap = (config.som.wrap, config.som.wrap)
    if config.som.backend is SomBackend.somviz:
        return fit_with_somviz(x, (rows, columns), wrap, config.seed, config.network.grid)
    with progress("fitting the map", config.som.epochs) as advance:
        return SelfOrganizingMap.fit(
            x,
            (rows, columns),
            seed=config.seed,
            epochs=config.som.epochs,
            wrap=wrap,
            grid=config.network.grid,
            progress=lambda _, loss: advance(1, f"quantization error {loss:.3f}"),
        )


def _sample(
    files: list[SpectraFile], grid: Grid, config: Config
) -> tuple[NDArray[np.float32], list[str]]:
    """A seeded sample of the usable spectra of all files, and the files that could not be read.

    Every spectrum gets a random number from the seed and its file's name, and those with the
    smallest are kept.
    """
    kept = SpectraSample(config.som.sample, len(grid))
    failed = []
    with progress("reading spectra", len(files)) as advance:
        for file in files:
            advance(1, file.name)
            try:
                coadd = read_coadd(file, grid, config.data.use_mask)
            except InputError as error:
                if config.infer.strict:
                    raise
                failed.append(str(error))
                continue
            rng = np.random.default_rng([config.seed, zlib.crc32(file.name.encode())])
            ok = np.asarray(coadd.table["STATUS"]) == Status.OK
            kept.offer(coadd.x[ok], rng.random(len(ok))[ok])
    if len(kept) < 2:
        raise InputError(
            f"a map needs at least 2 usable spectra, and {len(files)} files have {len(kept)}"
            + (f"; the first that failed: {failed[0]}" if failed else ".")
        )
    return kept.spectra(), failed
