"""``stage=train``: trains an ensemble of networks on bootstrap samples of the labelled set."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from qnal.config.schema import Config, Stage
from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.evaluation.evaluate_task import evaluate_ensemble
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import BAL_NEEDED, LabelledSet
from qnal.ensemble.member_record import MemberRecord
from qnal.ensemble.prior import PriorKind
from qnal.ensemble.train_task import TrainTask, train_members
from qnal.errors import ConfigError
from qnal.labels.label_table import sampling_design
from qnal.progress import progress, say
from qnal.stages import Job, training_runs
from qnal.stages.inputs import NEWEST, label_table, with_survey
from qnal.stages.member_recipe import member_recipe
from qnal.stages.next_round import NextRound, next_round
from qnal.stages.prior_knowledge import NO_LABELS, labels_or_prior, prior_knowledge
from qnal.stages.suspects import write_suspects
from qnal.stages.training_runs import TrainingRuns
from qnal.stages.work_folder import WorkFolder
from qnal.summary import Summary
from qnal.tracking.download import is_mlflow_uri
from qnal.tracking.model_registry import register

EXAMPLES = 2  # spectra in the input example of the registered model


def train(config: Config, job: Job) -> Summary:
    """Train the members that are missing, and evaluate the ensemble out of bag."""
    config = with_survey(config)
    recipe = member_recipe(config)
    labelled = labels_or_prior(config, recipe.structure.grid)
    if not len(labelled) and recipe.prior.kind is PriorKind.pretrain:
        recipe = replace(recipe, prior=recipe.prior.alone())  # nothing to continue with
    knowledge = prior_knowledge(config, recipe, job)
    description = EnsembleDescription.of(
        recipe, labelled, knowledge.checksum(), knowledge.teaches_bal()
    )
    folder = _folder(config, description.fingerprint)
    tags = {"qnal.ensemble": description.fingerprint}
    with job.run(config, Stage.train, training_runs.run_name(config, description), tags) as run:
        digest, rows = description.training_set, description.training_spectra
        training_runs.record_labels(run, config, digest, rows, "training")
        folder.start(description, labelled.table)
        runs = TrainingRuns(run, folder, tags)
        set_folder = WorkFolder(config.work).folder_for("labelled", description.training_set)
        task = TrainTask(recipe, set_folder, folder, knowledge)
        failed = _train_missing(task, labelled, config.ensemble.n, job, runs)
        WorkFolder(config.work).set_latest("ensemble", folder.path)
        labels = label_table(config)
        design = None if labels is None else sampling_design(labels.history())
        report = evaluate_ensemble(folder, description, labelled, config.ensemble.n, design)
        runs.report(report, job.folder)
        ahead = NextRound(None)
        if labels is not None:
            ahead = next_round(
                config.work, recipe, description, labelled, report.metrics, config.query.n
            )
            run.metrics(ahead.metrics)
            if ahead.figure is not None:
                run.figure(ahead.figure(), job.folder / "next_batch.png")
        register(run, folder, config.ensemble.n, labelled.x[:EXAMPLES])
    status = "incomplete" if failed else "done"
    paths = {"ensemble": str(folder.path)}
    summary = Summary("train", status, run.id, paths, report.metrics | ahead.metrics, failed=failed)
    write_suspects(config, report, job.folder, summary)
    summary.notes += ahead.notes
    if not len(labelled):
        summary.notes.append(f"{NO_LABELS[0].upper()}{NO_LABELS[1:]}.")
    if report.control is not None:
        summary.notes += report.control.sentences
    if report.fit.why_not:
        summary.notes.append(f"Probabilities are not calibrated: {report.fit.why_not}.")
    if config.lines.bal and not description.bal_trained:
        summary.notes.append(
            f"The BAL head is not trained, and C_BAL will be null: training it takes {BAL_NEEDED} "
            f"quasars with and {BAL_NEEDED} without BALs."
        )
    pool = () if config.data.pool else ("data.pool=FOLDER",)
    scoring = job.command(Stage.infer, *pool)
    run.note(training_runs.note(summary, config, description, scoring))
    return summary


def _folder(config: Config, name: str) -> EnsembleFolder:
    if config.ensemble.path is not None and (
        is_mlflow_uri(config.ensemble.path) or config.ensemble.path == NEWEST
    ):
        raise ConfigError(
            f"ensemble.path={config.ensemble.path} cannot be trained; stage=train takes the path "
            "of a folder, or null."
        )
    if config.ensemble.path is None:
        return EnsembleFolder(WorkFolder(config.work).folder_for("ensembles", name))
    folder = EnsembleFolder(Path(config.ensemble.path).expanduser().absolute())
    if folder.fingerprint() != name and folder.path.exists() and any(folder.path.iterdir()):
        raise ConfigError(
            f"ensemble.path={folder.path} holds another ensemble, made from other spectra or "
            "settings; give the path of a new folder, or null."
        )
    return folder


def _train_missing(
    task: TrainTask, labelled: LabelledSet, n: int, job: Job, runs: TrainingRuns
) -> list[str]:
    """Train the missing ones of ``n`` members; returns why members could not be trained."""
    there = {record.member: record for record in task.folder.records(n)}
    missing = [k for k in range(n) if k not in there]
    runs.adopt(there.values())
    if there:
        say(f"{len(there)} of {n} members are already trained, in {task.folder.path}")
    if not missing:
        return []
    fit = task.recipe.hyperparameters
    rows = len(labelled) + task.recipe.prior.rows_per_epoch
    if (epochs := fit.epochs_for(rows)) > fit.epochs:
        say(
            f"training for {epochs} epochs instead of train.epochs={fit.epochs}, to reach "
            f"train.min_steps={fit.min_steps} with {rows} spectra"
        )
    labelled.write(task.labelled)
    failed = []
    with progress("training", len(missing)) as advance:

        def on_member(record: MemberRecord) -> None:
            runs.member(record)
            advance(1, f"member {record.member}: loss {record.loss[-1]:.3f}")

        def on_failure(member: int, reason: str) -> None:
            failed.append(reason)
            advance(1, f"member {member} failed")

        train_members(
            task, missing, partial(job.executor, task.recipe.threads), on_member, on_failure
        )
    return failed
