"""stage=pipeline: train, som, infer and query, one after the other."""

from dataclasses import replace

from qnal.config.schema import Config, Stage
from qnal.stages import Job, stage_function
from qnal.stages.inputs import with_survey
from qnal.stages.work_folder import to_dict
from qnal.summary import Summary

STAGES = (Stage.train, Stage.som, Stage.infer, Stage.query)


def pipeline(config: Config, job: Job) -> Summary:
    """Run the stages in turn, each on the results of those before it.

    The summary of each stage is written to ``summary/STAGE.json`` in the run folder.
    """
    config = with_survey(config)
    with job.recorder.run("pipeline", job.parent, {"qnal.stage": "pipeline"}) as run:
        run.config(to_dict(config))
        total = Summary("pipeline", mlflow_run_id=run.id)
        for stage in STAGES:
            part = stage_function(stage)(config, replace(job, parent=run))
            part.write(job.folder / "summary" / f"{stage.value}.json")
            total.absorb(part)
            config = _with_results(config, part)
        run.metrics(total.metrics)
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
