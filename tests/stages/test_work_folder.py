"""The work folder, also after it was moved."""

import json

import pytest

from qnal.errors import ConfigError
from qnal.stages.work_folder import LATEST, WorkFolder


@pytest.fixture
def work(tmp_path):
    return WorkFolder(tmp_path / "work")


def test_results_are_named_by_their_fingerprints(work):
    assert work.folder_for("soms", "0123456789abcdef") == work.path / "soms" / "0123456789ab"


def test_a_moved_work_folder_finds_its_latest_results(work, tmp_path):
    folder = work.folder_for("ensembles", "a" * 64)
    folder.mkdir(parents=True)
    work.set_latest("ensemble", folder)
    assert work.latest("ensemble") == folder
    moved = WorkFolder(work.path.rename(tmp_path / "elsewhere"))
    assert moved.latest("ensemble") == moved.path / "ensembles" / "aaaaaaaaaaaa"
    assert str(tmp_path) not in (moved.path / LATEST).read_text()


def test_a_copied_work_folder_has_results_of_its_own(work, tmp_path):
    theirs = tmp_path / "original" / "scores" / "a1"
    assert work.own(theirs) == theirs
    mine = work.path / "scores" / "a1"
    mine.mkdir(parents=True)
    assert work.own(theirs) == mine


def test_results_outside_keep_their_absolute_paths(work, tmp_path):
    outside = tmp_path / "ensemble"
    outside.mkdir()
    work.set_latest("ensemble", outside)
    work.set_latest("som", work.path)
    assert work.latest("ensemble") == outside
    assert json.loads((work.path / LATEST).read_text()) == {"ensemble": str(outside), "som": "."}


def test_what_is_gone_or_unreadable_is_not_the_latest(work):
    assert work.latest("som") is None
    work.set_latest("som", work.path / "soms" / "b")
    assert work.latest("som") is None
    for broken in ("", "[1]", '{"som": 3}'):
        (work.path / LATEST).write_text(broken)
        assert work.latest("som") is None


def test_a_given_path_wins_and_has_to_exist(work, tmp_path, capsys):
    work.set_latest("scores", work.path)
    assert work.given_or_latest(str(tmp_path), "query.scores", "scores") == tmp_path
    assert capsys.readouterr().err == ""
    assert work.given_or_latest(None, "query.scores", "scores") == work.path
    assert "query.scores: using" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"query.scores=/nowhere: there is no such"):
        work.given_or_latest("/nowhere", "query.scores", "scores")
