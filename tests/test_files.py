"""Files are whole or absent."""

import os
import shutil
from pathlib import Path

import pytest

from qnal.errors import QnalError
from qnal.files import files_below, remove_scratch, sha256, write_text, written_aside


def test_what_fails_leaves_nothing_and_keeps_the_old(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    with pytest.raises(FileExistsError), written_aside(path) as scratch:
        scratch.touch()
        scratch.touch(exist_ok=False)
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_scratch_file_is_not_taken_for_a_whole_one(tmp_path):
    with written_aside(tmp_path / "a.parquet") as scratch:
        scratch.write_text("half")
        assert list(tmp_path.rglob("*.parquet")) == []
        assert str(os.getpid()) in scratch.name
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with (
        pytest.raises(QnalError, match=r"a\.h5: the disk is full"),
        written_aside(tmp_path / "a.h5"),
    ):
        raise RuntimeError("errno 28")  # as HDF5 says it


def test_sha256(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_what_killed_processes_left_goes(tmp_path: Path):
    write_text(tmp_path / "a" / "whole.json", "{}")
    write_text(tmp_path / "b.json", "{}")
    (tmp_path / "a" / ".whole.json.17.part").write_text("{")
    remove_scratch(tmp_path)
    assert sorted(files_below(tmp_path)) == ["a/whole.json", "b.json"]
    assert list(files_below(tmp_path / "none")) == []
