"""summary.json: written, read, merged and printed."""

import json
import math

from qnal.summary import Summary


def test_what_is_written_is_read(tmp_path):
    summary = Summary("query", mlflow_run_id="7", paths={"scores": "s"}, metrics={"cut": 0.25})
    summary.funnel = [("scored", 9), ("selected", 2)]
    summary.write(tmp_path / "summary.json")
    assert Summary.read(tmp_path / "summary.json") == summary


def test_undefined_numbers_are_null(tmp_path):
    Summary("train", metrics={"a": math.nan, "b": None, "c": math.inf, "d": 1}).write(
        tmp_path / "summary.json"
    )
    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text)["metrics"] == {"a": None, "b": None, "c": None, "d": 1}
    assert "NaN" not in text


def test_a_pipeline_is_as_incomplete_as_its_stages():
    total = Summary("pipeline", metrics={"members": 3})
    total.absorb(Summary("infer", "incomplete", failed=["a.fits: broken."], metrics={"files": 2}))
    total.absorb(Summary("query", funnel=[("scored", 5)], notes=["few"]))
    assert total.status == "incomplete"
    assert total.metrics == {"members": 3, "files": 2}
    assert (total.failed, total.funnel, total.notes) == (
        ["a.fits: broken."], [("scored", 5)], ["few"],
    )  # fmt: skip


def test_details_are_not_printed(capsys):
    Summary("train", metrics={"members": 12345, "oob_boss_purity": 0.5, "oob_ece": 0.123456}).show()
    shown = capsys.readouterr().out
    assert "12,345" in shown and "0.1235" in shown
    assert "boss" not in shown
