"""stage=compare: a candidate ensemble against the champion, and its promotion if asked for."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from qnal.config.schema import Config, Stage
from qnal.ensemble.evaluation.comparison import (
    KEYS,
    Basis,
    Comparison,
    Verdict,
    compare_calls,
    out_of_bag_calls,
)
from qnal.ensemble.folder import TRAINING_SET, EnsembleFolder
from qnal.errors import ConfigError, InputError
from qnal.files import write_text, written_aside
from qnal.fingerprint import fingerprint
from qnal.scores.change_figures import comparison_page
from qnal.scores.changes import PoolChanges
from qnal.stages import Job
from qnal.stages.inputs import named_ensemble, with_survey
from qnal.stages.labelled_calls import control_targets, held_out_calls
from qnal.stages.pool_comparison import FLIPPED, WHICH, compare_on_pool
from qnal.stages.training_runs import record_labels
from qnal.summary import Number, Summary
from qnal.tracking import Note, Run
from qnal.tracking.model_registry import check_promotable, promote


def compare(config: Config, job: Job) -> Summary:
    """Compare two ensembles on labelled spectra and on the pool."""
    if config.compare.promote:
        check_promotable(config.compare.candidate)
    config = with_survey(config)
    folders = {which: _ensemble(config, which) for which in WHICH}
    names = {w: f.fingerprint() or f.path.name for w, f in folders.items()}
    title = f"compare {names['candidate'][:12]} with champion {names['champion'][:12]}"
    with job.run(config, Stage.compare, title) as run:
        calls = {which: _calls(config, folder) for which, folder in folders.items()}
        found = compare_calls(
            calls["champion"],
            calls["candidate"],
            config.compare.draws,
            config.seed,
            control_targets(config),
        )
        if not found.spectra:
            raise InputError(
                "no labelled spectrum has a prediction of both ensembles; set data.desi, "
                "data.boss, data.labelled or data.labels to spectra on which to compare them."
            )
        sets = fingerprint({which: _labels(table) for which, table in calls.items()})
        record_labels(run, config, sets, found.spectra, "comparison")
        metrics = _metrics(found)
        pool = compare_on_pool(config, replace(job, parent=run), folders)
        if pool is not None:
            metrics |= pool.metrics()
        changes = None if pool is None else pool.changes
        _record(run, job.folder, found, changes)
        sentence = _decide(config, run, found)
        run.metrics(metrics)
    paths = {"comparison": str(job.folder / "comparison.csv")}
    paths |= {f"{w}_ensemble": str(f.path) for w, f in folders.items()}
    summary = Summary("compare", "done", run.id, paths, metrics, notes=[sentence])
    if names["candidate"] == names["champion"]:
        summary.notes.append("The candidate and the champion are the same ensemble.")
    if pool is not None:
        paths["scores"] = str(pool.scores)
        summary.notes += pool.notes
        if pool.changes.flipped:
            paths["flipped"] = str(job.folder / FLIPPED)
    run.tags({"qnal.verdict": str(found.verdict)})
    run.rename(f"compare: {found.verdict}, {title.removeprefix('compare ')}")
    run.note(_note(summary, found, names, _next_steps(config, job, found, paths)))
    return summary


def _ensemble(config: Config, which: str) -> EnsembleFolder:
    path = named_ensemble(getattr(config.compare, which), f"compare.{which}", config)
    if path is None:
        raise ConfigError(f"compare.{which} is null and there is no newest ensemble.")
    if not (path / TRAINING_SET).exists():
        raise InputError(
            f"compare.{which}={path}: it has no {TRAINING_SET}; only ensembles trained by qnal can "
            "be compared."
        )
    return EnsembleFolder(path)


def _calls(config: Config, folder: EnsembleFolder) -> pd.DataFrame:
    """Out-of-bag calls for what the ensemble was trained on, and calls for other labels."""
    thresholds = config.ensemble.thresholds()
    known = out_of_bag_calls(folder, None, thresholds)
    return pd.concat([known, held_out_calls(config, folder, thresholds)], ignore_index=True)


def _labels(calls: pd.DataFrame) -> int:
    """A number that identifies the labelled spectra of a table of calls."""
    return int(pd.util.hash_pandas_object(calls[[*KEYS, "LABEL", "Z"]], index=False).sum())


def _metrics(found: Comparison) -> dict[str, Number]:
    metrics: dict[str, Number] = {
        "compare_spectra": found.spectra,
        "compare_targets": found.targets,
        "compare_control": int(found.basis is Basis.control),
        "compare_held_out": int(found.basis is Basis.held_out),
        "compare_flipped": len(found.flipped),
    }
    for row in found.metrics.to_dict("records"):
        for column in ("CHAMPION", "CANDIDATE", "DIFFERENCE", "LOW", "HIGH"):
            value = float(row[column])
            name = f"compare_{row['METRIC']}_{column.lower()}"
            metrics[name] = value if value == value else None
    return metrics


def _record(run: Run, folder: Path, found: Comparison, changes: PoolChanges | None) -> None:
    tables = {"comparison.csv": found.metrics, "flipped_labels.csv": found.flipped}
    if changes is not None:
        tables |= {
            "pool_classes.csv": changes.classes,
            "pool_by_snr.csv": changes.by_snr,
            "pool_by_redshift.csv": changes.by_redshift,
        }
    for name, table in tables.items():
        with written_aside(folder / name) as scratch:
            table.to_csv(scratch, index=False)
        run.file(folder / name, "tables")
    if changes is not None:
        flipped = pd.read_csv(folder / FLIPPED, usecols=["TARGETID"])["TARGETID"]
        targets = folder / "flipped_targetids.txt"
        write_text(targets, "".join(f"{t}\n" for t in flipped))
        for name in ("flipped_pool.csv", FLIPPED):
            run.file(folder / name)
        run.file(targets)
    title = f"candidate: {found.verdict}, {found.compared}"
    run.figure(comparison_page(found.metrics, changes, title), folder / "comparison.png")


def _decide(config: Config, run: Run, found: Comparison) -> str:
    """Move the alias if that is asked for and allowed; returns what was decided."""
    verdict = f"The candidate is {found.verdict} than the champion"
    if found.verdict is Verdict.no_difference:
        verdict = "The candidate and the champion show no difference"
    verdict += f", on {found.compared}"
    if not config.compare.promote:
        return f"{verdict}; the champion stays (compare.promote=false)."
    if found.verdict is Verdict.worse:
        return f"{verdict}; it is not promoted."
    version = promote(run.recorder, config.compare.candidate)
    if version is None:
        return f"{verdict}; it is not promoted, because the store of models cannot be written."
    return f"{verdict}; version {version} is the champion now."


def _next_steps(
    config: Config, job: Job, found: Comparison, paths: dict[str, str]
) -> dict[str, str]:
    steps = {}
    if not config.compare.promote and found.verdict is not Verdict.worse:
        steps["promote it"] = job.command(Stage.compare, "compare.promote=true")
    if "flipped" in paths:
        flipped = f"inspect.selection={paths['flipped']}"
        steps["inspect the targets that change class"] = job.command(Stage.inspect, flipped)
    return steps


def _note(
    summary: Summary, found: Comparison, names: dict[str, str], next_steps: dict[str, str]
) -> Note:
    rows = found.metrics.to_dict("records")
    intervals = {
        f"{row['METRIC']}, 95 % interval": f"{row['LOW']:+.4f} to {row['HIGH']:+.4f}"
        for row in rows
    }
    pool = {
        "spectra of the pool": "compare_pool_spectra",
        "that change class": "compare_pool_changed",
        "mean change of the vote entropy": "compare_pool_entropy_change",
        "picks that both queries select": "compare_shared_picks",
    }
    return Note(
        f"A candidate against the champion: **{found.verdict}**, on {found.compared}.",
        {which: name[:12] for which, name in names.items()} | intervals,
        {
            f"Δ {row['METRIC']}": summary.metrics[f"compare_{row['METRIC']}_difference"]
            for row in rows
        }
        | {words: summary.metrics.get(name) for words, name in pool.items()},
        "figures/comparison.png",
        summary.notes,
        next_steps,
    )
