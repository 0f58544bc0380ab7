"""stage=som: the map that tells common spectra from rare ones."""

import zlib

import numpy as np
from numpy.typing import NDArray

from qnal.config import Config, SomBackend
from qnal.errors import InputError
from qnal.progress import progress, say
from qnal.selection.figures import som_loss, som_map
from qnal.selection.som import SelfOrganizingMap
from qnal.selection.somviz_backend import fit_with_somviz
from qnal.spectra.coadd import read_coadd
from qnal.spectra.grid import Grid, named_grid
from qnal.spectra.rebin import Status
from qnal.spectra.tree import SpectraFile, find_coadds
from qnal.stages import Job
from qnal.stages.inputs import pool, with_survey
from qnal.stages.places import fingerprint, place, plain, remember
from qnal.summary import Number, Summary


def som(config: Config, job: Job) -> Summary:
    """Fit a map on the pool, or on ``som.spectra``, unless the same one is there."""
    config = with_survey(config)
    options = config.som
    given = options.spectra is not None
    files = find_coadds(options.spectra, "som.spectra") if given else pool(config)
    grid = named_grid(config.network.grid)
    made_from = {
        "backend": options.backend,
        "shape": list(options.shape),
        "wrap": options.wrap,
        "epochs": options.epochs,
        "sample": options.sample,
        "seed": config.seed,
        "grid": grid.name,
        "use_mask": config.data.use_mask,
        "files": [(f.name, f.path.stat().st_size, f.path.stat().st_mtime_ns) for f in files],
    }
    folder = place(config.work, "soms", fingerprint(made_from))
    with job.recorder.run("som", job.parent, {"qnal.stage": "som"}) as run:
        run.config(plain(config))
        x, failed = _sample(files, grid, config)
        if (folder / "som.json").exists():
            say(f"the map is there already, in {folder}")
            fitted = SelfOrganizingMap.load(folder)
        else:
            fitted = _fit(x, config)
            fitted.save(folder)
        remember(config.work, "som", folder)
        bmu, distance = fitted.find_bmu(x)
        metrics: dict[str, Number] = {
            "som_spectra": len(x),
            "som_cells": fitted.cells,
            "quantization_error": float(distance.mean()),
            "topographic_error": fitted.topographic_error(x),
            "som_files_failed": len(failed),
        }
        run.metrics(metrics)
        run.curves({"quantization_error_by_pass": [float(v) for v in fitted.loss]})
        counts = np.bincount(bmu, minlength=fitted.cells)
        run.figure(som_map(fitted, counts), job.folder / "som.png")
        run.figure(som_loss(fitted), job.folder / "som_loss.png")
        for name in ("weights.npy", "loss.npy", "som.json"):
            run.file(folder / name, "som")
    status = "incomplete" if failed else "done"
    return Summary("som", status, run.id, {"som": str(folder)}, metrics, failed=failed)


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
    smallest are kept: the sample does not depend on the order of the files, nor memory on their
    number.
    """
    most = config.som.sample
    kept = np.zeros((0, len(grid)), np.float32)
    keys = np.zeros(0)
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
            keys = np.concatenate([keys, rng.random(len(ok))[ok]])
            kept = np.concatenate([kept, coadd.x[ok].astype(np.float32)])
            if len(keys) > most:
                smallest = np.sort(np.argpartition(keys, most - 1)[:most])
                keys, kept = keys[smallest], kept[smallest]
    if len(kept) < 2:
        raise InputError(
            f"a map needs at least 2 usable spectra, and {len(files)} files have {len(kept)}"
            + (f"; the first that failed: {failed[0]}" if failed else ".")
        )
    return kept, failed
