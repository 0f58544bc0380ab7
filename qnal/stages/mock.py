"""stage=mock: write the mock survey as FITS files."""

from dataclasses import replace

from qnal.config.schema import Config, Stage
from qnal.spectra.mock import MockConfig
from qnal.stages import Job
from qnal.stages.inputs import mock_survey
from qnal.summary import Summary
from qnal.tracking import Note


def mock(config: Config, job: Job) -> Summary:
    """Write the survey of ``data.mock`` to the work folder, unless it is already there.

    Without ``data=mock``, write the default survey with the job's seed.
    """
    survey_config = config.data.mock or MockConfig(seed=config.seed)
    config = replace(config, data=replace(config.data, mock=survey_config))
    spectra = survey_config.labelled + survey_config.boss + survey_config.pool
    with job.run(config, Stage.mock, f"mock survey, {spectra:,} spectra") as run:
        survey, written = mock_survey(config)
        summary = Summary("mock", mlflow_run_id=run.id)
        summary.paths = {name: str(path) for name, path in vars(survey).items()}
        summary.metrics = {
            "labelled": survey_config.labelled,
            "boss": survey_config.boss,
            "spectra": survey_config.pool,
        }
        run.metrics(summary.metrics)
    if not written:
        summary.notes.append("The survey already existed; nothing was written.")
    run.note(
        Note(
            f"A mock survey of {spectra:,} spectra, as FITS files.",
            summary.paths,
            summary.metrics,
            remarks=summary.notes,
            next_step={"use it": job.command(Stage.pipeline, "data=mock")},
        )
    )
    return summary
