"""stage=infer: every coadd of the pool through every member, to the scores dataset."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from qnal.config.schema import Config
from qnal.ensemble.combination import CombinationRule
from qnal.ensemble.stored import MemberFiles, find_members
from qnal.errors import ConfigError, InputError
from qnal.executors.tasks import LostError, MakeExecutor, completed
from qnal.files import written_aside
from qnal.fingerprint import fingerprint
from qnal.inference.float32_recheck import recheck_rule
from qnal.inference.members import check_min_lines, usable_precision
from qnal.inference.packing import Packing
from qnal.inference.prediction_cache import PredictionCache
from qnal.inference.score_task import (
    Members,
    Outcome,
    ScoreTask,
    Shape,
    SomFiles,
    UnreadableError,
    Wrap,
    forget_members,
)
from qnal.network.network import Network
from qnal.network.precision import Precision
from qnal.progress import progress, say
from qnal.scores.dataset import FORMAT_VERSION, ScoresFolder
from qnal.scores.pool_figures import by_night, by_petal
from qnal.scores.pool_tables import pool_metrics, som_of_pool, tables_of_pool, uncertainty_by_class
from qnal.scores.reference_csv import write_reference_csv
from qnal.som.som import SelfOrganizingMap
from qnal.spectra.grid import Grid
from qnal.spectra.spectra_file import SpectraFile, absolute
from qnal.stages import Job
from qnal.stages.inputs import pool, with_survey
from qnal.stages.work_folder import LATEST, folder_for, given_or_latest, set_latest, to_dict
from qnal.summary import Number, Summary
from qnal.tracking import Run


def infer(config: Config, job: Job) -> Summary:
    """Score what is not scored yet; a broken file is named and does not stop the others."""
    config = with_survey(config)
    every = pool(config)
    files = _ordered(config, every.copy())
    path = given_or_latest(config, config.ensemble.path, "ensemble.path", "ensemble")
    if path is None:
        raise ConfigError(
            f"ensemble.path is not set and {config.work_dir}/{LATEST} names no ensemble; give a "
            "folder of members, or run stage=train first."
        )
    try:
        return _infer(config, job, files, len(every), path)
    finally:
        forget_members()


def _infer(config: Config, job: Job, files: list[SpectraFile], in_pool: int, path: Path) -> Summary:
    found = find_members(path, config.ensemble.n)
    members = Members(
        found.files, found.checksums, tuple(config.lines.names), tuple(config.lines.bal)
    )
    networks = members.networks()
    first = networks[0]
    check_min_lines(config.ensemble.min_lines, first)
    if [*first.lines, *first.bal_lines] != [*config.lines.names, *config.lines.bal]:
        say(f"the ensemble looks for {', '.join(first.lines)}, which its files say")
    som, map_files = _som(config, first.grid)
    work = _scoring(config, members, networks, found, map_files)
    with job.recorder.run("infer", job.parent, {"qnal.stage": "infer"}) as run:
        run.config(to_dict(config))
        executor = partial(job.executor, config.infer.threads)
        with _alone(work):
            _describe(work, config, path, som, first.grid, in_pool)
            if config.infer.limit is None:
                work.scores.forget_all_but(files)
                if work.predictions is not None:
                    work.predictions.forget_all_but(files)
            done, failed = _score_all(work, files, config.infer.strict, executor)
            paths = {"scores": str(work.scores.path), "ensemble": str(path)}
            if work.predictions is not None:
                paths["predictions"] = str(work.predictions.path)
            if config.infer.csv:
                paths["csv"] = _csv(work, files)
            if config.infer.qso_qn:
                paths["qso_qn"] = str(work.scores.path / "qso_qn")
            metrics: dict[str, Number] = {
                "files": len(files),
                "files_failed": len(failed),
                "files_read": done.read,
                "members": len(found.files),
                "forward_passes": done.computed,
            }
            metrics |= _record(work, som, job, run)
        set_latest(config.work, "scores", work.scores.path)
        run.metrics(metrics)
    notes = [] if som else ["There is no map, so best cells (BMU) are unknown."]
    if config.ensemble.calibrate and found.is_calibrated and not work.rule.calibration:
        notes.append(
            "Soft outputs are not calibrated: the ensemble's calibration is for another "
            "ensemble.min_lines."
        )
    status = "incomplete" if failed else "done"
    return Summary("infer", status, run.id, paths, metrics, failed=failed, notes=notes)


def _scoring(
    config: Config,
    members: Members,
    networks: tuple[Network, ...],
    found: MemberFiles,
    som: SomFiles | None,
) -> ScoreTask:
    packing, grid = Packing.of(networks), networks[0].grid
    thresholds = config.ensemble.thresholds()
    calibration = found.calibration(thresholds) if config.ensemble.calibrate else None
    precision = usable_precision(config.infer.precision, config.infer.backend)
    rule = CombinationRule(thresholds, found.bal_trained, calibration)
    # What forward passes depend on. min_lines chooses the confidence that is kept.
    passes = {
        **packing.description(),
        "grid": [grid.name, hashlib.sha256(grid.wave.tobytes()).hexdigest()],
        "min_lines": rule.thresholds.min_lines,
        "pool": absolute(config.data.pool),
        "use_mask": config.data.use_mask,
        "sky": config.infer.sky,
        "backend": config.infer.backend,
        "precision": precision,
        "recheck": recheck_rule() if precision is not Precision.float32 else None,
        "batch_size": config.infer.batch_size,
    }
    made_from = {
        "predictions": passes,
        "checksums": members.checksums,
        "thresholds": vars(rule.thresholds),
        "calibration": calibration and calibration.parameters(),
        "bal_trained": rule.bal_trained,
        "format_version": FORMAT_VERSION,
    }
    keep = config.infer.keep_members
    return ScoreTask(
        members,
        packing,
        rule,
        config.infer.backend,
        config.infer.precision,
        config.infer.batch_size,
        config.infer.threads,
        config.data.use_mask,
        config.infer.sky,
        config.infer.verify,
        ScoresFolder(folder_for(config.work, "scores", fingerprint(made_from))),
        PredictionCache(folder_for(config.work, "predictions", fingerprint(passes)))
        if keep
        else None,
        som,
        config.infer.qso_qn,
    )


def _som(config: Config, grid: Grid) -> tuple[SelfOrganizingMap | None, SomFiles | None]:
    """The map to find best cells on; one for another grid is an error only if asked for."""
    path = given_or_latest(config, config.som.path, "som.path", "som")
    if path is None:
        return None, None
    shape, wrap = _shape_if_bare(config, path)
    som = SelfOrganizingMap.load(path, shape, wrap)
    if som.weights.shape[1] == len(grid):
        return som, SomFiles(path, som.fingerprint, shape, wrap)
    sentence = f"{path}: its cells have {som.weights.shape[1]} pixels, the spectra {len(grid)}."
    if config.som.path is not None:
        raise InputError(sentence)
    say(f"{sentence} Going on without it.")
    return None, None


def _shape_if_bare(config: Config, path: Path) -> tuple[Shape | None, Wrap | None]:
    """Shape and wrapping from the configuration, for SOMVIZ's files, which do not say them."""
    if (path / "som.json").exists():
        return None, None
    rows, columns = config.som.shape
    return (rows, columns), (config.som.wrap, config.som.wrap)


def _ordered(config: Config, files: list[SpectraFile]) -> list[SpectraFile]:
    if config.infer.random_order:
        random.Random(config.seed).shuffle(files)
    return files[: config.infer.limit]


@contextmanager
def _alone(work: ScoreTask) -> Iterator[None]:
    """One job at a time on a dataset and on kept answers; a second one says so and waits."""
    folders = [work.predictions.path] if work.predictions is not None else []
    locks = []
    for folder in (*folders, work.scores.path):  # always in this order
        folder.mkdir(parents=True, exist_ok=True)
        locks.append(FileLock(folder / ".lock"))
    try:
        for lock in locks:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                say(f"another job is writing {Path(lock.lock_file).parent}; waiting for it")
                lock.acquire()
        yield
    finally:
        for lock in locks:
            lock.release()


def _describe(
    work: ScoreTask,
    config: Config,
    path: Path,
    som: SelfOrganizingMap | None,
    grid: Grid,
    files: int,
) -> None:
    """Write what the dataset is; best cells of an earlier map stay where no other is given."""
    try:
        earlier = work.scores.description()["som"]
    except InputError:  # there is none yet, or it is damaged and written anew
        earlier = None
    pool, calibration = absolute(config.data.pool), work.rule.calibration
    work.scores.describe(
        {
            "ensemble": {"path": str(path), "checksums": work.members.checksums},
            "thresholds": vars(work.rule.thresholds),
            "calibration": calibration and calibration.parameters(),
            "grid": grid.name,
            "pool": pool,
            "som": {"fingerprint": som.fingerprint, "cells": som.cells} if som else earlier,
            "files": files,
        }
    )
    if work.predictions is not None:
        work.predictions.describe(work.packing.description() | {"grid": grid.name, "pool": pool})


@dataclass
class _Done:
    """What a job did: files whose spectra were read, and forward passes."""

    read: int = 0
    computed: int = 0


def _score_all(
    work: ScoreTask, files: list[SpectraFile], strict: bool, executor: MakeExecutor
) -> tuple[_Done, list[str]]:
    """Score what is missing; also returns a sentence for each file that failed."""
    todo = [file for file in files if not work.is_done(file)]
    if len(todo) < len(files):
        say(f"{len(files) - len(todo):,} of {len(files):,} files are scored already")
    failed: dict[SpectraFile, str] = {}
    done = _Done()
    with (
        progress("scoring", len(todo)) as advance,
        closing(completed(executor, work, todo)) as results,
    ):
        for file, outcome in results:
            if isinstance(outcome, Outcome):
                done.read += outcome.read
                done.computed += outcome.computed
            elif isinstance(outcome, InputError | LostError) and not strict:
                if isinstance(outcome, UnreadableError):
                    work.forget(file)  # what was known of it is of a file that is no more
                failed[file] = (
                    str(outcome) if isinstance(outcome, InputError) else f"{file.path}: {outcome}"
                )
            else:
                raise outcome
            advance(1, file.name)
    if todo:
        work.remove_scratch()
    sentences = [failed[file] for file in sorted(failed)]
    if failed and len(failed) == len(files):
        raise InputError(f"none of {len(files)} files could be scored; the first: {sentences[0]}")
    return done, sentences


def _csv(work: ScoreTask, files: list[SpectraFile]) -> str:
    path = work.scores.path / "scores.csv"
    som = work.som.fingerprint if work.som is not None else None
    write_reference_csv(path, work.scores, sorted(files), som)
    return str(path)


def _record(
    work: ScoreTask, som: SelfOrganizingMap | None, job: Job, run: Run
) -> dict[str, Number]:
    """Metrics of the whole dataset, with its tables and figures."""
    summary = work.scores.summary()
    for name, table in tables_of_pool(summary).items():
        with written_aside(job.folder / name) as scratch:
            table.to_csv(scratch, index=False)
        run.file(job.folder / name, "tables")
    for name, figure in (("per_night", by_night(summary)), ("per_petal", by_petal(summary))):
        if figure is not None:
            run.figure(figure, job.folder / f"{name}.png")
    if som is not None:
        run.figure(som_of_pool(work.scores, som), job.folder / "som_of_pool.png")
    run.dictionary(uncertainty_by_class(summary), "uncertainty.json")
    run.file(work.scores.path / "dataset.json")
    return pool_metrics(summary)
