"""What a stage gets besides its configuration."""

from pathlib import Path

from qnal.config.schema import Stage
from qnal.stages import Job
from qnal.tracking import Recorder


def test_a_command_that_continues_has_the_settings_of_the_job():
    overrides = (
        "stage=infer", "data=mock", "+infer.limit=8", "query.n=5", "hydra.run.dir=x",
        "hydra/launcher=joblib", "work_dir=my work",
    )  # fmt: skip
    job = Job(Path(), Recorder(), overrides=overrides)
    assert job.command(Stage.query, "query.n=1000") == (
        "qnal stage=query data=mock +infer.limit=8 'work_dir=my work' query.n=1000"
    )
