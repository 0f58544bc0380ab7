"""``stage=loop``: simulates rounds of labelling on a labelled set, strategy against strategy."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from qnal.config.query_choices import strategies_by_name
from qnal.config.schema import Config, Stage
from qnal.ensemble.prior import PriorKind
from qnal.files import written_aside
from qnal.labels.label import BadRows
from qnal.learning.loop_set import LoopSet
from qnal.learning.oracle import Oracle
from qnal.learning.plan import BASELINE, Plan
from qnal.learning.report import StudyReport, report
from qnal.learning.round_folder import RoundStore
from qnal.learning.round_task import RoundTask
from qnal.learning.som_cells import SomCells
from qnal.learning.study import Study
from qnal.progress import progress, say
from qnal.stages import Job
from qnal.stages.inputs import labelled_set, with_survey
from qnal.stages.loop_runs import record_loops
from qnal.stages.member_recipe import member_recipe
from qnal.stages.prior_knowledge import prior_knowledge
from qnal.stages.study_cost import say_cost
from qnal.stages.training_runs import record_labels
from qnal.stages.work_folder import WorkFolder
from qnal.summary import Summary
from qnal.tracking import Note


def loop(config: Config, job: Job) -> Summary:
    """Run the rounds that are missing, and compare the strategies."""
    config = with_survey(config)
    study = _study(config, job)
    plan, task = study.plan, study.task
    say_cost(study, job)
    with job.run(config, Stage.loop, _title(plan)) as run:
        record_labels(run, config, task.set_fingerprint, len(study.whole.target), "loop")
        with progress("rounds", plan.trainings) as advance:
            executor = partial(job.executor, task.recipe.threads)
            cold = study.cold_starts(executor, lambda what: advance(1, what))
            curves, picks = study.run(executor, lambda what: advance(1, what))
        results = report(curves, cold)
        paths = _write(results, picks, job.folder)
        for name, draw in results.figures.items():
            run.figure(draw(), job.folder / name)
        for path in paths.values():
            run.file(Path(path), "tables")
        run.metrics(results.metrics)
        record_loops(curves, run)
    metrics = {"trainings": plan.trainings, "labels": int(curves["labels"].max())}
    failed = sorted(set(study.failed))
    summary = Summary(
        "loop",
        "incomplete" if failed else "done",
        run.id,
        paths | {"figure": str(job.folder / results.main_figure), "rounds": str(task.store.path)},
        metrics | results.metrics,
        failed=failed,
        notes=results.notes,
    )
    run.note(
        Note(
            _sentence(plan),
            paths,
            results.metrics | metrics,
            f"figures/{results.main_figure}",
            [*summary.notes, *(f"failed: {failure}" for failure in failed[:20])],
        )
    )
    return summary


def _compared(plan: Plan) -> str:
    return ", ".join(name for name in plan.strategies if name != BASELINE)


def _title(plan: Plan) -> str:
    if not plan.rounds:
        return f"loop: {plan.seed_labels:,} random labels, {plan.repeats} repeats"
    return f"loop: {_compared(plan)}, {plan.repeats} × {plan.rounds} rounds"


def _sentence(plan: Plan) -> str:
    """What a study compares, for the note of its run."""
    repeated = f"repeated {plan.repeats} times"
    if not plan.rounds:
        return f"Ensembles trained on {plan.seed_labels:,} random labels, {repeated}."
    return (
        f"Query strategies ({_compared(plan)}) against random picks, in {plan.rounds} simulated "
        f"rounds from {plan.labels[0]:,} to {plan.labels[-1]:,} labels, {repeated}."
    )


def _study(config: Config, job: Job) -> Study:
    """The study that a configuration describes."""
    options, work = config.loop, WorkFolder(config.work)
    recipe = member_recipe(config)
    if options.steps is not None:
        fit = replace(recipe.hyperparameters, epochs=1, min_steps=options.steps)
        recipe = replace(recipe, hyperparameters=fit)
    # Inspectors are shown spectra that they cannot classify, so these belong to the pool.
    whole_config = replace(config, data=replace(config.data, bad=BadRows.negative))
    labelled = labelled_set(whole_config, recipe.structure.grid)
    name = labelled.fingerprint()
    folder = work.folder_for("labelled", name)
    labelled.write(folder)
    task = RoundTask(
        folder,
        RoundStore(work.path / "rounds"),
        recipe,
        config.ensemble.n,
        Oracle.of(options.oracle),
        config.data.bad,
        config.ensemble.calibrate,
        name,
        {
            kind: prior_knowledge(
                config, replace(recipe, prior=replace(recipe.prior, kind=kind)), job
            )
            for kind in options.priors or [recipe.prior.kind]
        },
        options.warm_start,
    )
    # Without further batches all strategies have the same labels.
    others = ["stratified", *options.strategies] if options.rounds else []
    names = dict.fromkeys([BASELINE, *others])
    plan = Plan(
        strategies_by_name(names, "loop.strategies"),
        options.rounds,
        options.seed_labels,
        options.batch,
        options.repeats,
        options.test,
        tuple(options.priors),
        PriorKind.mix in (options.priors or [recipe.prior.kind]),
        options.growth,
        options.minutes,
    )
    study = Study(plan, task, LoopSet(labelled, config.seed))
    rows, columns = config.som.shape
    wrap = (config.som.wrap, config.som.wrap)
    study.cells = SomCells.fit(
        study.whole, study.held_out, (rows, columns), wrap, config.som.epochs
    )
    say(f"{int(study.held_out.sum())} of {len(study.held_out)} targets are held out")
    return study


def _write(results: StudyReport, picks: pd.DataFrame, folder: Path) -> dict[str, str]:
    """Write the tables into the job's folder; returns their paths by name."""
    paths = {}
    for name, table in (results.tables | {"picks": picks}).items():
        path = folder / f"{name}.csv"
        with written_aside(path) as scratch:
            table.to_csv(scratch, index=False)
        paths[name] = str(path)
    return paths
