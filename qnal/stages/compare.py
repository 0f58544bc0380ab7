"""stage=compare: a candidate ensemble against the champion, and its promotion if asked for."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from qnal.config.schema import Config, Stage
from qnal.ensemble.evaluation.comparison import (
    Basis,
    Comparison,
    Verdict,
    compare_calls,
    out_of_bag_calls,
)
from qnal.ensemble.folder import TRAINING_SET, EnsembleFolder
from qnal.errors import ConfigError, InputError
from qnal.files import write_text, written_aside
from qnal.scores.change_figures import comparison_page
from qnal.scores.changes import PoolChanges, pool_changes
from qnal.scores.dataset import ScoresFolder
from qnal.stages import Job, stage_function
from qnal.stages.inputs import named_ensemble, with_survey
from qnal.stages.labelled_calls import control_targets, held_out_calls
from qnal.stages.work_folder import WorkFolder
from qnal.summary import Number, Summary
from qnal.tracking import Note, Run
from qnal.tracking.model_registry import check_promotable, promote

WHICH = ("champion", "candidate")


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
            raise InputError("the two ensembles have no labelled spectra in common.")
        metrics = _metrics(found)
        changes = _pool(config, replace(job, parent=run), folders) if config.compare.pool else None
        if changes is not None:
            metrics |= _pool_metrics(changes, job.folder)
        _record(run, job.folder, found, changes)
        sentence = _decide(config, run, found)
        run.metrics(metrics)
    paths = {"comparison": str(job.folder / "comparison.csv")}
    paths |= {f"{w}_ensemble": str(f.path) for w, f in folders.items()}
    summary = Summary("compare", "done", run.id, paths, metrics, notes=[sentence])
    run.tags({"qnal.verdict": str(found.verdict)})
    run.rename(f"compare: {found.verdict}, {title.removeprefix('compare ')}")
    run.note(_note(summary, found, names))
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


def _pool(config: Config, job: Job, folders: dict[str, EnsembleFolder]) -> PoolChanges | None:
    """Score the pool with both and select from both; ``latest.json`` keeps what it named."""
    if config.data.pool is None:
        return None
    work = WorkFolder(config.work)
    before = {kind: work.latest(kind) for kind in ("scores", "selection")}
    parts = {}
    for which, folder in folders.items():
        own = replace(job, folder=job.folder / which)
        ensemble = replace(config.ensemble, path=str(folder.path))
        scored = stage_function(Stage.infer)(replace(config, ensemble=ensemble), own)
        query = replace(config.query, scores=scored.paths["scores"])
        stage_function(Stage.query)(replace(config, query=query), own)
        parts[which] = ScoresFolder(Path(scored.paths["scores"])).parts
    for kind, path in before.items():
        if path is not None:
            work.set_latest(kind, path)
    return pool_changes(parts["champion"], parts["candidate"], job.folder / "flipped_pool.csv")


def _pool_metrics(changes: PoolChanges, folder: Path) -> dict[str, Number]:
    picks = [
        set((folder / which / "targetid_selection.txt").read_text().split()) for which in WHICH
    ]
    return {
        "compare_pool_spectra": changes.spectra,
        "compare_pool_changed": changes.changed,
        "compare_pool_entropy_change": changes.entropy_change,
        "compare_shared_picks": len(picks[0] & picks[1]),
    }


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
        flipped = pd.read_csv(folder / "flipped_pool.csv", usecols=["TARGETID"])["TARGETID"]
        targets = folder / "flipped_targetids.txt"
        write_text(targets, "".join(f"{t}\n" for t in dict.fromkeys(flipped)))
        run.file(folder / "flipped_pool.csv")
        run.file(targets)
    title = f"candidate: {found.verdict}, {found.spectra:,} labelled spectra"
    run.figure(comparison_page(found.metrics, changes, title), folder / "comparison.png")


def _decide(config: Config, run: Run, found: Comparison) -> str:
    """Move the alias if that is asked for and allowed; returns what was decided."""
    verdict = f"The candidate is {found.verdict}"
    if found.verdict is Verdict.no_difference:
        verdict = "The candidate and the champion show no difference"
    if not config.compare.promote:
        return f"{verdict}; the champion stays (compare.promote=false)."
    if found.verdict is Verdict.worse:
        return f"{verdict} than the champion; it is not promoted."
    version = promote(run.recorder, config.compare.candidate)
    if version is None:
        return f"{verdict}; it is not promoted, because the store of models cannot be written."
    return f"{verdict}; version {version} is the champion now."


def _note(summary: Summary, found: Comparison, names: dict[str, str]) -> Note:
    rows = {
        f"{r['METRIC']}, difference": f"{r['DIFFERENCE']:+.4f} "
        f"({r['LOW']:+.4f} to {r['HIGH']:+.4f})"
        for r in found.metrics.to_dict("records")
    }
    on = {w: n[:12] for w, n in names.items()} | rows
    return Note(
        f"A candidate against the champion: **{found.verdict}**, on {found.spectra:,} "
        f"{found.basis}.",
        on,
        {f"Δ {r['METRIC']}": float(r["DIFFERENCE"]) for r in found.metrics.to_dict("records")}
        | {k: v for k, v in summary.metrics.items() if "pool" in k or "picks" in k},
        "figures/comparison.png",
        summary.notes,
        {"promote": "qnal stage=compare compare.promote=true"},
    )
