"""stage=mock: write the mock survey."""

from dataclasses import replace

from qnal.config.schema import Config
from qnal.spectra.mock import MockConfig
from qnal.stages import Job
from qnal.stages.inputs import mock_survey
from qnal.stages.work_folder import to_dict
from qnal.summary import Summary


def mock(config: Config, job: Job) -> Summary:
    """Write the survey of ``data.mock`` under the working folder, unless it is there.

    Without ``data=mock`` it is the default survey, of the job's seed.
    """
    made = config.data.mock or MockConfig(seed=config.seed)
    config = replace(config, data=replace(config.data, mock=made))
    with job.recorder.run("mock", job.parent, {"qnal.stage": "mock"}) as run:
        run.config(to_dict(config))
        survey, written = mock_survey(config)
        paths = {name: str(path) for name, path in vars(survey).items()}
        metrics = {"labelled": made.labelled, "boss": made.boss, "spectra": made.pool}
        run.metrics(metrics)
        notes = [] if written else ["The survey was there already; nothing was written."]
        return Summary("mock", "done", run.id, paths, dict(metrics), notes=notes)
