"""stage=mock: write the mock survey."""

from qnal.config import Config
from qnal.stages import Job
from qnal.stages.inputs import mock_survey
from qnal.stages.places import plain
from qnal.summary import Summary


def mock(config: Config, job: Job) -> Summary:
    """Write the survey of ``data.mock`` under the working folder, unless it is there."""
    with job.recorder.run("mock", job.parent, {"qnal.stage": "mock"}) as run:
        run.config(plain(config))
        survey, written = mock_survey(config)
        made = config.data.mock
        assert made is not None  # noqa: S101 (mock_survey refuses None)
        paths = {name: str(path) for name, path in vars(survey).items()}
        metrics = {"labelled": made.labelled, "boss": made.boss, "spectra": made.pool}
        run.metrics(metrics)
        notes = [] if written else ["The survey was there already; nothing was written."]
        return Summary("mock", "done", run.id, paths, dict(metrics), notes=notes)
