"""The reader of docs/extending.md, added from outside the package."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.spectra.readers.survey_files import WAVE, SameSpectra

DOCUMENT = Path(__file__).parents[3] / "docs" / "extending.md"


@pytest.fixture
def my_survey(tmp_path, monkeypatch):
    """The code of the document as a module that can be imported, and its YAML file."""
    blocks = re.findall(r"```(\w+)\n(.*?)```", DOCUMENT.read_text(), re.S)
    code = {language: text for language, text in blocks if language in ("python", "yaml")}
    (tmp_path / "my_survey.py").write_text(code["python"])
    (tmp_path / "conf" / "reader").mkdir(parents=True)
    (tmp_path / "conf" / "reader" / "text.yaml").write_text(code["yaml"])
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def same(my_survey):
    """Spectra as text files, and as a coadd."""
    spectra = SameSpectra.make(rows=2)
    spectra.coadd(my_survey)
    (my_survey / "pool").mkdir()
    for row in range(2):
        with np.errstate(divide="ignore"):
            columns = [WAVE / 10, spectra.flux[row] * 1e-17, spectra.ivar[row] ** -0.5 * 1e-17]
        np.savetxt(my_survey / "pool" / f"J{row}.txt", np.transpose(columns), fmt="%.12g")
    return my_survey


@pytest.mark.process
@pytest.mark.parametrize("by_name", [False, True])
def test_a_reader_from_outside(same, mock_data, by_name):
    import qnal

    weights = mock_data / "quasarnet" / "test_weights.h5"
    given = [f"ensemble.path={weights}", "infer=numpy", "executor=serial", "tracking=none",
             f"data.pool={same / 'pool'}", f"work_dir={same / 'work'}", "stage=infer"]  # fmt: skip
    if by_name:
        config = qnal.compose([*given, "reader=text"], same / "conf")
    else:
        outside = ["reader._target_=my_survey.TextSpectra", "+reader.scale=1e17"]
        config = qnal.compose([*given, *outside])
    summary = qnal.run(config, same / "job")
    table = pd.read_parquet(Path(summary.paths["scores"]) / "parts")
    assert table["OBJECT"].tolist() == ["J0", "J1"]
    assert (table["SNR_VIS"] > 1).all()
    expected = qnal.load_ensemble(weights, backend="numpy").score(
        same / "coadd-same.fits", pandas=True
    )
    for column in ("Z", "C_NOT", "P_NOT", "C_LYA"):
        np.testing.assert_allclose(table[column], expected[column], rtol=2e-5, atol=2e-5)


def test_its_settings_are_checked(my_survey):
    import qnal
    from qnal.errors import ConfigError

    given = ["stage=infer", "reader._target_=my_survey.TextSpectra"]
    with pytest.raises(ConfigError, match=r"reader\.size: there is no such key"):
        qnal.compose([*given, "+reader.size=2"])
    with pytest.raises(ConfigError, match=r"reader\.scale=a cannot be used; it takes a number"):
        qnal.compose([*given, "+reader.scale=a"])


def test_arms_that_cannot_be_columns(my_survey):
    from my_survey import TextSpectra

    from qnal.errors import ConfigError

    class Broken(TextSpectra):
        arms = ("V I S", "NIR")

    with pytest.raises(ConfigError, match="1 to 7 different names"):
        Broken().check()
