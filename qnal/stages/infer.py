"""stage=infer: every coadd of the pool through every member, to the scores dataset."""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from qnal.config import Config
from qnal.ensemble.folder import StoredEnsemble, read_ensemble
from qnal.ensemble.scorer import Scorer
from qnal.ensemble.scores import ScoresFolder
from qnal.errors import ConfigError, InputError
from qnal.progress import progress, say
from qnal.selection.som import SelfOrganizingMap
from qnal.spectra.coadd import Coadd, read_coadd
from qnal.spectra.grid import Grid
from qnal.spectra.rebin import Status
from qnal.spectra.tree import SpectraFile, absolute
from qnal.stages import Job
from qnal.stages.inputs import pool, with_survey
from qnal.stages.places import LATEST, fingerprint, given_or_latest, place, plain, remember
from qnal.stages.scored_pool import map_of_pool, pool_metrics, uncertainty_by_class
from qnal.summary import Number, Summary


@dataclass(frozen=True)
class Pass:
    """What one pass over the pool needs."""

    scorer: Scorer
    som: SelfOrganizingMap | None
    grid: Grid
    use_mask: bool
    keep_sky: bool
    folder: ScoresFolder
    metadata: dict[str, object]

    def score(self, file: SpectraFile) -> None:
        """Score one file: the unit of work."""
        coadd = read_coadd(file, self.grid, self.use_mask)
        if not self.keep_sky:
            coadd = _without_sky(coadd)
        if not self.folder.is_scored(file):
            self.folder.forget(file)
            table = self.scorer.table(coadd.table, coadd.x)
            self.folder.write(file, table, coadd.digest, self.metadata)
        if self.som is not None and not self.folder.has_best_cells(file, self.som.fingerprint):
            ok = np.asarray(coadd.table["STATUS"]) == Status.OK
            bmu, distance = self.som.find_bmu(coadd.x[ok])
            self.folder.write_best_cells(file, coadd, self.som.fingerprint, bmu, distance)

    def is_done(self, file: SpectraFile) -> bool:
        """Whether nothing is left to do for a file."""
        has_cells = self.som is None or self.folder.has_best_cells(file, self.som.fingerprint)
        return has_cells and self.folder.is_scored(file)


def infer(config: Config, job: Job) -> Summary:
    """Score what is not scored yet; a broken file is named and does not stop the others."""
    config = with_survey(config)
    files = _ordered(config, pool(config))
    path = given_or_latest(config, config.ensemble.path, "ensemble.path", "ensemble")
    if path is None:
        raise ConfigError(
            f"ensemble.path is not set and {config.work_dir}/{LATEST} names no ensemble; give a "
            "folder of members, or run stage=train first."
        )
    stored = read_ensemble(path, config.lines.names, config.lines.bal, config.ensemble.n)
    first = stored.networks[0]
    if [*first.lines, *first.bal_lines] != [*config.lines.names, *config.lines.bal]:
        say(f"the ensemble looks for {', '.join(first.lines)}, which its files say")
    som = _som(config, first.grid)
    work = _pass(config, stored, som)
    with job.recorder.run("infer", job.parent, {"qnal.stage": "infer"}) as run:
        run.config(plain(config))
        with _alone(work.folder.path):
            description = _description(work, config, stored, path, som)
            work.folder.describe(description | {"files": len(files)})
            if config.infer.limit is None:
                work.folder.forget_all_but(files)
            failed = _score_all(work, files, config.infer.strict)
        remember(config.work, "scores", work.folder.path)
        metrics: dict[str, Number] = {
            "files": len(files),
            "files_failed": len(failed),
            "members": len(stored.networks),
        }
        metrics |= pool_metrics(work.folder)
        run.metrics(metrics)
        if som is not None:
            figure = map_of_pool(work.folder, som)
            run.figure(figure, job.folder / "som_of_pool.png")
        run.dictionary(uncertainty_by_class(work.folder), "uncertainty.json")
        run.file(work.folder.path / "dataset.json")
    paths = {"scores": str(work.folder.path), "ensemble": str(path)}
    notes = [] if som else ["There is no map, so best cells (BMU) are unknown."]
    status = "incomplete" if failed else "done"
    return Summary("infer", status, run.id, paths, metrics, failed=failed, notes=notes)


def _pass(config: Config, stored: StoredEnsemble, som: SelfOrganizingMap | None) -> Pass:
    thresholds = config.ensemble.thresholds()
    infer = config.infer
    scorer = Scorer.of(stored, thresholds, infer.backend, infer.batch_size, infer.precision)
    metadata: dict[str, object] = {
        "members": len(scorer.members),
        "checksums": fingerprint({"members": stored.checksums})[:12],
        **vars(thresholds),
    }
    print_ = fingerprint(
        {
            "checksums": stored.checksums,
            "lines": stored.networks[0].lines,
            "thresholds": vars(thresholds),
            "pool": absolute(config.data.pool),
            "use_mask": config.data.use_mask,
            "sky": config.infer.sky,
            "backend": config.infer.backend,
            "batch_size": config.infer.batch_size,
            "precision": scorer.precision,
        }
    )
    return Pass(
        scorer,
        som,
        scorer.grid,
        config.data.use_mask,
        config.infer.sky,
        ScoresFolder(place(config.work, "scores", print_)),
        metadata,
    )


def _som(config: Config, grid: Grid) -> SelfOrganizingMap | None:
    """The map to find best cells on; one for another grid is an error only if asked for."""
    path = given_or_latest(config, config.som.path, "som.path", "som")
    if path is None:
        return None
    som = SelfOrganizingMap.load(path, *_shape_if_bare(config, path))
    if som.weights.shape[1] == len(grid):
        return som
    sentence = f"{path}: its cells have {som.weights.shape[1]} pixels, the spectra {len(grid)}."
    if config.som.path is not None:
        raise InputError(sentence)
    say(f"{sentence} Going on without it.")
    return None


def _shape_if_bare(
    config: Config, path: Path
) -> tuple[tuple[int, int] | None, tuple[bool, bool] | None]:
    """Shape and wrapping from the configuration, for SOMVIZ's files, which do not say them."""
    if (path / "som.json").exists():
        return None, None
    rows, columns = config.som.shape
    return (rows, columns), (config.som.wrap, config.som.wrap)


def _ordered(config: Config, files: list[SpectraFile]) -> list[SpectraFile]:
    if config.infer.random_order:
        random.Random(config.seed).shuffle(files)
    return files[: config.infer.limit]


def _alone(folder: Path) -> FileLock:
    """One job at a time on a dataset; a second one says so and waits."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
        lock.release()
    except Timeout:
        say(f"another job is writing {folder}; waiting for it")
    return lock


def _description(
    work: Pass, config: Config, stored: StoredEnsemble, path: Path, som: SelfOrganizingMap | None
) -> dict[str, object]:
    """What ``dataset.json`` says; best cells of an earlier map stay where no other is given."""
    try:
        earlier = work.folder.description()["som"]
    except InputError:  # there is none yet, or it is damaged and written anew
        earlier = None
    return {
        "ensemble": {"path": str(path), "checksums": stored.checksums},
        "thresholds": vars(work.scorer.thresholds),
        "grid": work.scorer.grid.name,
        "pool": absolute(config.data.pool),
        "som": {"fingerprint": som.fingerprint, "cells": som.cells} if som else earlier,
    }


def _score_all(work: Pass, files: list[SpectraFile], strict: bool) -> list[str]:
    """Score what is missing; returns a sentence for each file that failed."""
    todo = [file for file in files if not work.is_done(file)]
    if len(todo) < len(files):
        say(f"{len(files) - len(todo):,} of {len(files):,} files are scored already")
    failed = []
    with progress("scoring", len(todo)) as advance:
        for file in todo:
            try:
                work.score(file)
            except InputError as error:
                if strict:
                    raise
                work.folder.forget(file)  # what was known of it is of a file that is no more
                failed.append(str(error))
            advance(1, file.name)
    if failed and len(failed) == len(files):
        raise InputError(f"none of {len(files)} files could be scored; the first: {failed[0]}")
    return failed


def _without_sky(coadd: Coadd) -> Coadd:
    sky = pc.or_(
        pc.fill_null(pc.equal(coadd.table["OBJTYPE"], "SKY"), False),
        pc.less(coadd.table["TARGETID"], 0),
    )
    keep = ~np.asarray(sky)
    return Coadd(coadd.x[keep], coadd.table.filter(pa.array(keep)), coadd.digest)
