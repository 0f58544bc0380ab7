"""Files are written completely or not at all."""

import errno
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from qnal import job
from qnal.errors import QnalError
from qnal.files import files_below, remove_scratch, sha256, write_text, written_aside


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    with pytest.raises(FileExistsError), written_aside(path) as scratch:
        scratch.touch()
        scratch.touch(exist_ok=False)
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_an_unfinished_file_does_not_match_the_target(tmp_path):
    with written_aside(tmp_path / "a.parquet") as scratch:
        scratch.write_text("half")
        assert list(tmp_path.rglob("*.parquet")) == []
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_two_writers_of_one_target_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "a.txt"
    with written_aside(path) as first:
        first.write_text("first")
        with written_aside(path) as second:
            assert second != first
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    with pytest.raises(ValueError, match=r"^first$"), written_aside(path) as first:
        first.write_text("broken")
        with written_aside(path) as second:
            second.write_text("whole")
        raise ValueError("first")
    assert path.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def write_often(path: Path, letter: str) -> None:
    for _ in range(50):
        write_text(path, 5000 * letter)


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_concurrent_writers_leave_one_whole_file(tmp_path, pool):
    path = tmp_path / "a.txt"
    executor = (
        ThreadPoolExecutor(4)
        if pool == "threads"
        else ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    )
    with executor:
        futures = [executor.submit(write_often, path, letter) for letter in "abcd"]
        for future in futures:
            future.result()
    assert path.read_text() in [5000 * letter for letter in "abcd"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_reported_in_a_sentence(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with (
        pytest.raises(QnalError, match=r"a\.h5: the disk is full"),
        written_aside(tmp_path / "a.h5"),
    ):
        raise RuntimeError("errno 28")  # HDF5's message


def test_sha256(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_temporary_files_of_killed_processes_are_removed(tmp_path: Path):
    write_text(tmp_path / "a" / "whole.json", "{}")
    write_text(tmp_path / "b.json", "{}")
    (tmp_path / "a" / ".whole.json.17.part").write_text("{")
    remove_scratch(tmp_path)
    assert sorted(files_below(tmp_path)) == ["a/whole.json", "b.json"]
    assert list(files_below(tmp_path / "none")) == []


def test_an_error_of_the_system_without_a_name_names_the_file(tmp_path):
    with pytest.raises(PermissionError) as refused, written_aside(tmp_path / "labels.parquet"):
        raise PermissionError(errno.EACCES, "Failed to open local file")
    assert refused.value.filename == str(tmp_path / "labels.parquet")
    assert job.sentence(refused.value) == f"{tmp_path / 'labels.parquet'}: Permission denied."
