"""A simulated survey: labelled DESI coadds, a BOSS training file and an unlabelled pool."""

from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.survey import MockSurvey, survey_at, write_survey

__all__ = ["MockConfig", "MockSurvey", "survey_at", "write_survey"]
