"""stage=train: an ensemble of QuasarNETs on bootstrapped labels."""

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from qnal.config.schema import Config
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet, class_counts
from qnal.ensemble.member_trainer import DivergedError, MemberRecipe, groups
from qnal.ensemble.train_task import TrainTask
from qnal.errors import ConfigError, InputError
from qnal.executors.tasks import LostError, completed
from qnal.fingerprint import fingerprint
from qnal.labels.label import is_quasar
from qnal.network.device import group_size
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.precision import resolved
from qnal.network.structure import Structure
from qnal.progress import looking, progress, say
from qnal.spectra.grid import named_grid
from qnal.stages import Job
from qnal.stages.inputs import labelled_set, with_survey
from qnal.stages.judging import evaluate_ensemble
from qnal.stages.training_progress import TrainingProgress
from qnal.stages.work_folder import folder_for, set_latest, to_dict
from qnal.summary import Summary, prefixed
from qnal.tracking import Run

BAL_NEEDED = 20  # positive and negative quasars from which a BAL head learns anything


def train(config: Config, job: Job) -> Summary:
    """Train the members that are not there yet, and judge the ensemble out of bag."""
    config = with_survey(config)
    recipe = _recipe(config)
    labelled = labelled_set(config, recipe.structure.grid)
    description = _description(config, recipe, labelled)
    folder = _folder(config, description["fingerprint"])
    with job.recorder.run("train", job.parent, {"qnal.stage": "train"}) as run:
        run.config(to_dict(config))
        folder.start(description, labelled.table)
        of_this_ensemble = {"qnal.ensemble": description["fingerprint"]}
        run.recorder.adopt(run, of_this_ensemble)
        failed = _train_members(config, recipe, labelled, folder, job, run, of_this_ensemble)
        set_latest(config.work, "ensemble", folder.path)
        summary = evaluate_ensemble(
            folder, config.ensemble.n, labelled, recipe.thresholds, description, job, run
        )
        summary.failed = failed
        summary.status = "incomplete" if failed else "done"
        if not description["bal_trained"] and config.lines.bal:
            summary.notes.append(
                f"The BAL head is untrained: it takes {BAL_NEEDED} quasars with and {BAL_NEEDED} "
                "without BALs; C_BAL will be empty."
            )
        return summary


def _recipe(config: Config) -> MemberRecipe:
    network, schedule = config.network, config.train
    return MemberRecipe(
        Structure(
            named_grid(network.grid),
            tuple(config.lines.names),
            tuple(config.lines.bal),
            network.layers,
            network.filters,
            boxes=network.boxes,
            padding=network.padding,
            offset_activation=network.offset_activation,
        ),
        Hyperparameters(
            schedule.epochs,
            schedule.min_steps,
            schedule.batch_size,
            schedule.learning_rate,
            schedule.amsgrad,
            network.dropout,
            network.reg_conv,
            network.reg_dense,
            resolved(schedule.precision),
        ),
        config.ensemble.thresholds(),
        config.ensemble.bootstrap,
        config.seed,
        schedule.threads,
        group_size(schedule.group),
    )


def _description(config: Config, recipe: MemberRecipe, labelled: LabelledSet) -> dict[str, Any]:
    """What ``ensemble.json`` says besides the members; its fingerprint leaves ``n`` out."""
    schedule = to_dict(config.train)
    for rounding in ("threads", "group"):  # a member is the same but for rounding
        del schedule[rounding]
    made_from = {
        "training_set": labelled.fingerprint(),
        "network": to_dict(config.network),
        "lines": to_dict(config.lines),
        "train": schedule | {"precision": recipe.hyperparameters.precision},
        "bootstrap": config.ensemble.bootstrap,
        "seed": config.seed,
    }
    quasars = labelled.table[is_quasar(labelled.column("LABEL"))]
    # Exposures of one quasar are one example.
    positive, negative = (
        quasars.loc[quasars["BAL"] == sign, "TARGETID"].nunique() for sign in (1, -1)
    )
    return {
        "fingerprint": fingerprint(made_from),
        **made_from,
        "thresholds": vars(config.ensemble.thresholds()),
        "bal_trained": bool(config.lines.bal) and min(positive, negative) >= BAL_NEEDED,
        "training_spectra": len(labelled),
        "classes": class_counts(labelled),
    }


def _folder(config: Config, name: str) -> EnsembleFolder:
    if config.ensemble.path is None:
        return EnsembleFolder(folder_for(config.work, "ensembles", name))
    folder = EnsembleFolder(Path(config.ensemble.path).expanduser().absolute())
    there = folder.fingerprint()
    if there != name and folder.path.exists() and any(folder.path.iterdir()):
        raise ConfigError(
            f"ensemble.path={folder.path} holds something else, made from other spectra or "
            "options; name a new folder, or leave it out."
        )
    return folder


def _train_members(
    config: Config,
    recipe: MemberRecipe,
    labelled: LabelledSet,
    folder: EnsembleFolder,
    job: Job,
    run: Run,
    tags: dict[str, str],
) -> list[str]:
    """Train what is missing; returns a sentence for each member that diverged."""
    missing = [k for k in range(config.ensemble.n) if folder.record(k) is None]
    there = config.ensemble.n - len(missing)
    if there:
        say(f"{there} of {config.ensemble.n} members are there already, in {folder.path}")
    epochs = recipe.hyperparameters.epochs_for(len(labelled))
    if missing and epochs > recipe.hyperparameters.epochs:
        say(
            f"{len(labelled)} spectra are few: training for {epochs} epochs, so that there are "
            f"train.min_steps={recipe.hyperparameters.min_steps} steps, not for "
            f"{recipe.hyperparameters.epochs}"
        )
    recorded = run.recorder.tagged(tags | {"qnal.stage": "member"}, "qnal.member")
    for k in range(config.ensemble.n if run.id else 0):
        # A job may have been killed between the end of a member and its record.
        if k not in missing and str(k) not in recorded and (known := folder.record(k)):
            _record_member(run, folder, known, tags)
    if not missing:
        return []
    set_folder = folder_for(config.work, "labelled", labelled.fingerprint())
    labelled.write(set_folder)
    work = TrainTask(recipe, set_folder, folder)
    executor = partial(job.executor, recipe.threads)
    failed = []
    with (
        progress("training", len(missing)) as advance,
        looking((bar := TrainingProgress(folder, missing, advance)).look),
        closing(completed(executor, work, groups(missing, recipe.group))) as results,
    ):
        for members, outcome in results:
            if isinstance(outcome, LostError):
                failed += [f"member {k}: {outcome}" for k in members]
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                for record in outcome.values():
                    if isinstance(record, DivergedError):
                        failed.append(str(record))
                    else:
                        _record_member(run, folder, record, tags)
            bar.finished(members)
    if not folder.records():
        raise InputError("no member could be trained: " + "; ".join(failed))
    return failed


def _record_member(
    run: Run, folder: EnsembleFolder, record: dict[str, Any], tags: dict[str, str]
) -> None:
    k = record["member"]
    tags = tags | {"qnal.stage": "member", "qnal.member": str(k)}
    if run.recorder.tagged(tags, "qnal.member"):
        return  # by another job on this ensemble, which trained it
    with run.recorder.run(f"member {k:04d}", run, tags) as child:
        child.curves({"loss": record["loss"]})
        counts = {name: record[name] for name in ("epochs", "bag_rows", "oob_rows")}
        child.metrics(prefixed("oob_", record["oob"]) | counts)
        for path in (folder.weights(k), folder.out_of_bag_file(k)):
            child.file(path)
