"""Strategies that a simulated loop compares: choices of ``query`` and files of one's own."""

import pytest

from qnal.config.query_choices import strategies_by_name
from qnal.errors import ConfigError

OWN = """
strategy:
  _target_: qnal.query.strategies.power.Power
  measure: vote_entropy
  beta: 2
"""


def test_a_file_beside_choices(tmp_path):
    path = tmp_path / "power_2.yaml"
    path.write_text(OWN)
    found = strategies_by_name(["margin", "power", str(path)], "loop.strategies")
    assert list(found) == ["margin", "power", "power_2"]
    assert found["power_2"].beta == 2
    assert found["power_2"].measure.name == "vote_entropy"
    assert found["power"].beta == 1


@pytest.mark.parametrize(
    ("content", "names", "sentence"),
    [
        (OWN, ["guess"], "there is no strategy guess; valid ones: entropy, "),
        (OWN, ["absent.yaml"], "there is no strategy absent.yaml; valid ones: entropy, "),
        (OWN, ["power", "{}"], "two strategies are called power."),
        ("n: 5\n", ["{}"], "has no key strategy"),
        ("strategy: [\n", ["{}"], "is not valid YAML"),
        (OWN.replace("beta", "gamma"), ["{}"], "gamma"),
    ],
)
def test_refused(tmp_path, content, names, sentence):
    path = tmp_path / "power.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=sentence):
        strategies_by_name([name.format(path) for name in names], "loop.strategies")
