"""stage=pipeline: train, som, infer and query, one after the other."""

from dataclasses import replace

from qnal.config.schema import Config, Stage
from qnal.stages import Job, stage_function
from qnal.stages.inputs import with_survey
from qnal.summary import DETAILS, Summary
from qnal.tracking import Note

STAGES = (Stage.train, Stage.som, Stage.infer, Stage.query)
RESULTS = ("ensemble", "som", "scores", "selection")
FIGURE = "selected_spectra.png"
HEADLINE = ("oob_completeness", "oob_purity", "spectra", "selected", "quasar_share")


def pipeline(config: Config, job: Job) -> Summary:
    """Run the stages in turn, each on the results of those before it.

    The summary of each stage is written to ``summary/STAGE.json`` in the run folder.
    """
    config = with_survey(config)
    name = f"pipeline: {config.ensemble.n} × QuasarNET-{config.network.layers}"
    with job.run(config, Stage.pipeline, f"{name}, {config.query.n:,} targets") as run:
        total = Summary("pipeline", mlflow_run_id=run.id)
        for stage in STAGES:
            part = stage_function(stage)(config, replace(job, parent=run))
            part.write(job.folder / "summary" / f"{stage.value}.json")
            total.absorb(part)
            config = _with_results(config, part)
        # The runs of the stages have the details.
        run.metrics({k: v for k, v in total.metrics.items() if not k.startswith(DETAILS)})
        figure = job.folder / FIGURE
        if figure.exists():  # it needs the spectra of the pool
            run.saved_figure(figure)
    run.note(
        Note(
            "Training, a SOM, scoring and a query, one after the other; each is a child run.",
            {name: total.paths[name] for name in RESULTS},
            {name: total.metrics.get(name) for name in HEADLINE},
            f"figures/{FIGURE}",
            [*total.notes, *(f"failed: {failure}" for failure in total.failed[:20])],
            {"label the selected targets": job.command(Stage.inspect)},
        )
    )
    return total


def _with_results(config: Config, part: Summary) -> Config:
    """The configuration of the next stages, with the paths of this one's results."""
    if part.stage == Stage.train:
        return replace(config, ensemble=replace(config.ensemble, path=part.paths["ensemble"]))
    if part.stage == Stage.som:
        return replace(config, som=replace(config.som, path=part.paths["som"]))
    if part.stage == Stage.infer:
        return replace(config, query=replace(config.query, scores=part.paths["scores"]))
    return config
