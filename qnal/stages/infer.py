"""stage=infer: score every file of the pool with an ensemble."""

import random
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from qnal.config.schema import Config, Stage
from qnal.ensemble.combination import CombinationRule
from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.folder import EnsembleFolder
from qnal.errors import ConfigError, InputError
from qnal.files import written_aside
from qnal.fingerprint import fingerprint
from qnal.inference.artifacts import SomFiles, WeightFiles
from qnal.inference.input_file import Reading
from qnal.inference.keys import dataset_key, predictions_key
from qnal.inference.members import check_min_lines, usable_precision
from qnal.inference.packing import Packing
from qnal.inference.prediction_cache import PredictionCache
from qnal.inference.score_options import Outputs, Passes
from qnal.inference.score_pool import Callbacks, PoolOutcome, locked, score_pool
from qnal.inference.score_task import ScoreTask, forget_members
from qnal.progress import progress, say
from qnal.scores.dataset import ScoresFolder
from qnal.scores.description import DatasetDescription, SomReference, relative_path
from qnal.scores.file_index import content_digest
from qnal.scores.left_out import left_out
from qnal.scores.object_names import check_names
from qnal.scores.pool_figures import by_night, by_petal
from qnal.scores.pool_report import pool_metrics, pool_tables, som_of_pool, uncertainty_by_class
from qnal.scores.reference_csv import write_reference_csv
from qnal.scores.statistics import statistics
from qnal.som.som import SelfOrganizingMap
from qnal.spectra.grid import Grid
from qnal.spectra.spectra_file import SpectraFile, absolute
from qnal.stages import Job
from qnal.stages.conditions import row_condition
from qnal.stages.inputs import ensemble_path, pool, with_survey
from qnal.stages.redrock import joined_with_redrock, record_redshifts, redrock_exports
from qnal.stages.work_folder import LATEST, WorkFolder
from qnal.summary import Number, Summary
from qnal.tracking import Note, Run


def infer(config: Config, job: Job) -> Summary:
    """Score the files that are not scored yet; a file that fails does not stop the others."""
    config = with_survey(config)
    files = pool(config)
    some = _ordered(config, files)
    path = ensemble_path(config)
    if path is None:
        raise ConfigError(
            f"ensemble.path is not set and {config.work_dir}/{LATEST} names no ensemble; give a "
            "folder of members, or run stage=train first."
        )
    ensemble = EnsembleFolder(path)
    found = ensemble.description()
    try:
        task = _task(config, ensemble.weight_files(config.ensemble.n), found)
        tags = {"qnal.ensemble": found.fingerprint or path.name}
        with job.run(config, Stage.infer, f"infer {len(some):,} files", tags) as run:
            with locked(task, lambda at: say(f"another job is writing {at}; waiting for it")):
                _describe(config, task, path, len(files))
                outcome = _score(config, job, task, some)
                check_names(task.outputs.scores, task.reading.reader, outcome.entries)
                redrock = joined_with_redrock(config, task, files, outcome)
                exports = redrock_exports(config, task, files, redrock)
                paths = _exported(config, task, some) | {"ensemble": str(path)} | exports.paths
                metrics = {"files": len(some)} | _metrics(task, outcome)
                if task.condition:
                    metrics["left_out"] = left_out(task.outputs.scores, outcome.entries)
                metrics |= _record(job, run, task, outcome) | redrock.metrics() | exports.metrics
                record_redshifts(config, job, run, task, redrock)
            if job.sets_latest:
                WorkFolder(config.work).set_latest("scores", task.outputs.scores.path)
            run.metrics(metrics)
            run.rename(f"infer {metrics['spectra']:,} spectra, {metrics['members']} members")
    finally:
        forget_members()
    summary = Summary(
        "infer",
        "incomplete" if outcome.failed else "done",
        run.id,
        paths,
        metrics,
        failed=outcome.sentences(),
        notes=_notes(config, task, found, outcome, metrics) + redrock.notes() + exports.notes,
    )
    run.note(_note(summary, job))
    return summary


def _note(summary: Summary, job: Job) -> Note:
    names = ("spectra", "scored", "members", "quasar_share", "vote_entropy_mean",
             "mutual_info_mean", "files_failed", "forward_passes")  # fmt: skip
    return Note(
        f"Scores of {summary.metrics['spectra']:,} spectra by {summary.metrics['members']} "
        "networks.",
        {"scores": summary.paths["scores"], "ensemble": summary.paths["ensemble"]},
        {name: summary.metrics.get(name) for name in names},
        "figures/per_petal.png",
        [*summary.notes, *(f"failed: {failure}" for failure in summary.failed[:20])],
        {"select targets": job.command(Stage.query)} if job.sets_latest else {},
    )


def _ordered(config: Config, files: list[SpectraFile]) -> list[SpectraFile]:
    """The files to score, in order."""
    some = files.copy()
    if config.infer.random_order:
        random.Random(config.seed).shuffle(some)
    return some[: config.infer.limit]


def _task(config: Config, files: dict[Path, str], found: EnsembleDescription) -> ScoreTask:
    options, thresholds = config.infer, config.ensemble.thresholds()
    names = tuple(config.lines.names), tuple(config.lines.bal)
    weights = WeightFiles(tuple(files), tuple(files.values()), *names)
    networks = weights.networks()
    first, packing = networks[0], Packing.of(networks)
    check_min_lines(thresholds.min_lines, first)
    if (first.lines, first.bal_lines) != names:
        say(f"using the ensemble's lines ({', '.join(first.lines)}); lines.names is ignored")
    reading = Reading(first.grid, config.created_reader(), options.sky, options.verify)
    precision = usable_precision(options.precision, options.backend)
    passes = Passes(options.backend, precision, options.batch_size, options.threads)
    calibration = found.calibration_for(thresholds) if config.ensemble.calibrate else None
    rule = CombinationRule(thresholds, found.bal_trained, calibration)

    predictions = predictions_key(packing, reading, passes, thresholds.min_lines)
    paths = [relative_path(p, config.work) for p in absolute(config.data.pool)]
    condition = row_condition(config, "infer", reading.reader)
    scores = dataset_key(predictions, weights.checksums, rule, paths, condition)
    outputs = Outputs(
        ScoresFolder(WorkFolder(config.work).folder_for("scores", fingerprint(scores))),
        PredictionCache(
            WorkFolder(config.work).folder_for("predictions", fingerprint(predictions)),
            "\n".join(paths),
        )
        if options.keep_members
        else None,
        _som(config, first.grid),
    )
    return ScoreTask(weights, packing, reading, passes, rule, outputs, condition)


def _som(config: Config, grid: Grid) -> SomFiles | None:
    """The SOM to find BMUs on; one on another grid is an error only if the user named it."""
    path = WorkFolder(config.work).given_or_latest(config.som.path, "som.path", "som")
    if path is None:
        return None
    shape = wrap = None
    if not (path / "som.json").exists():  # files of SOMVIZ do not say
        rows, columns = config.som.shape
        shape, wrap = (rows, columns), (config.som.wrap, config.som.wrap)
    som = SelfOrganizingMap.load(path, shape, wrap)
    if som.weights.shape[1] == len(grid):
        return SomFiles(path, som.fingerprint, shape, wrap)
    sentence = f"{path}: the SOM has {som.weights.shape[1]} pixels and the spectra {len(grid)}."
    if config.som.path is not None:
        raise InputError(sentence)
    say(f"{sentence} Continuing without a SOM.")
    return None


def _describe(config: Config, task: ScoreTask, path: Path, files: int) -> None:
    """Write what the dataset and the cache are; without a SOM, earlier BMUs stay."""
    scores, cache = task.outputs.scores, task.outputs.predictions
    som: SomReference | None = None
    if task.outputs.som is not None:
        som = SomReference(task.outputs.som.fingerprint, task.outputs.som.load().cells)
    else:
        with suppress(InputError):  # there is none yet, or it is damaged and written anew
            som = scores.description().som
    description = DatasetDescription(
        str(path),
        task.weights.checksums,
        **task.rule.description(),
        grid=task.reading.grid.name,
        pool=tuple(absolute(config.data.pool)),
        files=files,
        som=som,
        reader=None if task.reading.reader.is_default else dict(config.reader),
    )
    scores.describe(description)
    if cache is not None:
        cache.describe(task.packing.description() | {"grid": task.reading.grid.name})


def _score(config: Config, job: Job, task: ScoreTask, files: list[SpectraFile]) -> PoolOutcome:
    options = config.infer
    with progress("scoring", len(files)) as advance:

        def found(todo: int, total: int) -> None:
            if todo < total:
                say(f"{total - todo:,} of {total:,} files are scored already")
                advance(total - todo)

        return score_pool(
            task,
            files,
            partial(job.executor, options.threads),
            whole=options.limit is None,
            strict=options.strict,
            callbacks=Callbacks(found, lambda file: advance(1, file.name)),
        )


def _exported(config: Config, task: ScoreTask, files: list[SpectraFile]) -> dict[str, str]:
    """Write what else the configuration asks for; returns all paths of the summary."""
    scores, cache, som = (getattr(task.outputs, n) for n in ("scores", "predictions", "som"))
    paths = {"scores": str(scores.path)}
    if cache is not None:
        paths["predictions"] = str(cache.path)
    if config.infer.csv:
        path = scores.path / "_scores.csv"
        write_reference_csv(path, scores, sorted(files), som and som.fingerprint)
        paths["csv"] = str(path)
    return paths


def _metrics(task: ScoreTask, outcome: PoolOutcome) -> dict[str, Number]:
    counts = outcome.counts()
    return {
        "files_failed": len(outcome.failed),
        "files_read": outcome.read,
        "members": len(task.weights.files),
        "forward_passes": outcome.forward_passes,
        "rechecked_share": counts.rechecked / max(counts.votes, 1),
        "uncertain_votes": counts.uncertain,
    }


def _record(job: Job, run: Run, task: ScoreTask, outcome: PoolOutcome) -> dict[str, Number]:
    """Metrics of the whole dataset, with tables and figures."""
    scores, som = task.outputs.scores, task.outputs.som
    fingerprint = None if som is None else som.fingerprint
    found = statistics(scores, outcome.entries, fingerprint, outcome.before)
    for name, table in pool_tables(found).items():
        with written_aside(job.folder / name) as scratch:
            table.to_csv(scratch, index=False)
        run.file(job.folder / name, "tables")
    for name, figure in (("per_night", by_night(found)), ("per_petal", by_petal(found))):
        if figure is not None:
            run.figure(figure, job.folder / f"{name}.png")
    if som is not None:
        run.figure(som_of_pool(found, som.load()), job.folder / "som_of_pool.png")
    run.dictionary(uncertainty_by_class(found), "uncertainty.json")
    metrics = pool_metrics(found)
    digest = content_digest(outcome.entries)
    run.input("pool", digest, scores.description().pool, metrics["spectra"], "scoring")
    run.file(scores.path / "_dataset.json")
    return metrics


def _notes(
    config: Config,
    task: ScoreTask,
    found: EnsembleDescription,
    outcome: PoolOutcome,
    metrics: Mapping[str, Number],
) -> list[str]:
    notes = [] if task.outputs.som else ["No SOM given; the BMU columns are null."]
    if task.condition:
        spectra, omitted = (int(metrics[n] or 0) for n in ("spectra", "left_out"))
        notes.append(
            f"infer.where and infer.targets select {spectra:,} of {spectra + omitted:,} spectra; "
            f"{omitted:,} are left out."
        )
    if config.ensemble.calibrate and found.is_calibrated and not task.rule.calibration:
        notes.append(
            "Probabilities are not calibrated: the calibration of the ensemble was fitted with "
            "another ensemble.min_lines."
        )
    counts = outcome.counts()
    if counts.uncertain:
        notes.append(
            f"{counts.uncertain:,} of {counts.votes:,} votes lie within the rounding error of "
            "bfloat16 at these thresholds; infer.precision=float32 makes them exact."
        )
    return notes
