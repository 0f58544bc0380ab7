"""A built-in mock survey: DESI coadds with labels, a BOSS training file, an unlabelled pool."""

from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.survey import MockSurvey, survey_at, write_survey

__all__ = ["MockConfig", "MockSurvey", "survey_at", "write_survey"]
