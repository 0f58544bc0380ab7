"""Scoring with what goes wrong in days of it: kills, full and read-only disks, two jobs at once."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qnal.network.weights import write_network

KILLS = 4


@pytest.fixture(scope="module")
def weights(tmp_path_factory, random_network) -> Path:
    """Six small networks, which numpy runs: without TensorFlow a job starts in a second."""
    folder = tmp_path_factory.mktemp("weights")
    for k in range(6):
        write_network(random_network(k), folder / f"net_{k}.h5")
    return folder


@pytest.fixture(scope="module")
def job(pipeline, weights):
    """The command that scores the mock pool into a working folder, without its first word."""
    work, summary = pipeline
    (pool,) = (work / "mock").glob("*/pool/tiles/perexp")

    def arguments(work_dir, *overrides):
        return [
            "stage=infer",
            "infer=numpy",
            f"ensemble.path={weights}",
            "ensemble.line_threshold=0.6",
            f"som.path={summary['paths']['som']}",
            f"data.pool={pool}",
            f"work_dir={work_dir}",
            "tracking=none",
            "executor=serial",
            *overrides,
        ]

    return arguments


@pytest.fixture(scope="module")
def undisturbed(job, qnal_job, tmp_path_factory):
    """What a run that nothing happens to writes."""
    work = tmp_path_factory.mktemp("undisturbed")
    code, _ = qnal_job(work / "job", *job(work))
    assert code == 0
    return written(work)


def written(work):
    """Bytes of all parts and BMUs; nothing half-written may lie about."""
    (root,) = (work / "scores").iterdir()
    assert not [p for p in work.rglob("*.part") if "runs" not in p.parts]
    kinds = ("parts", "_bmu")
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for kind in kinds
        for p in (root / kind).rglob("*.*")
    }


def start(arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "qnal", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def described(work):
    """When a job last began to write."""
    return [path.stat().st_mtime_ns for path in work.glob("scores/*/_dataset.json")]


@pytest.mark.slow
def test_killed_again_and_again(job, undisturbed, qnal_job, tmp_path):
    rng = random.Random(5)
    killed = 0
    for _ in range(KILLS):
        before = described(tmp_path)
        process = start(job(tmp_path))
        while process.poll() is None and described(tmp_path) == before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed > 0
    code, summary = qnal_job(tmp_path / "job", *job(tmp_path))
    assert code == 0
    assert summary["metrics"]["spectra"] == 200
    assert written(tmp_path) == undisturbed


def test_a_worker_is_lost(job, undisturbed, tmp_path):
    process = start(job(tmp_path, "executor=local", "executor.max_workers=2"))
    parts = tmp_path / "scores"
    while process.poll() is None and not list(parts.rglob("*.parquet")):
        time.sleep(0.005)
    workers = [
        int(pid)
        for pid in subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()
        if "spawn_main" in Path("/proc", pid, "cmdline").read_text()
    ]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said
    assert written(tmp_path) == undisturbed


def test_two_jobs_at_once(job, undisturbed, tmp_path):
    first, second = (start(job(tmp_path)) for _ in range(2))
    said = [process.communicate(timeout=100)[1] for process in (first, second)]
    assert first.returncode == second.returncode == 0
    assert sum("another job is writing" in s for s in said) <= 1
    assert written(tmp_path) == undisturbed


def test_a_second_job_says_that_it_waits(job, undisturbed, qnal_job, tmp_path, capfd):
    import threading

    from filelock import FileLock

    qnal_job(tmp_path / "job", *job(tmp_path))
    (folder,) = (tmp_path / "scores").iterdir()
    with FileLock(folder / ".lock"):
        thread = threading.Thread(target=qnal_job, args=(tmp_path / "job", *job(tmp_path)))
        thread.start()
        deadline = time.monotonic() + 60
        while "another job is writing" not in (said := capfd.readouterr().err):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        assert thread.is_alive()
    thread.join()
    assert written(tmp_path) == undisturbed


def in_namespace(script):
    """Run shell commands that may mount what they like; skips where the system forbids it."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], check=False).returncode:
        pytest.skip("mounting in a namespace of one's own is not allowed here")
    return subprocess.run(
        [unshare, "-rm", "sh", "-e", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def command(arguments):
    return " ".join(f"'{word}'" for word in (sys.executable, "-m", "qnal", *arguments))


def test_a_full_disk(job, undisturbed, tmp_path):
    small, out = tmp_path / "small", tmp_path / "out"
    small.mkdir()
    run = command(job(small))
    done = in_namespace(f"""
        mount -t tmpfs -o size=150k tmpfs {small}
        {run} && exit 9 || test $? = 1
        ls -R {small} | grep -c parquet >&2 || true
        mount -o remount,size=100m {small}
        {run}
        cp -r {small} {out}
    """)
    assert done.returncode == 0, done.stderr
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert written(out) == undisturbed


def test_a_read_only_dataset(job, qnal_job, tmp_path):
    assert qnal_job(tmp_path / "job", *job(tmp_path))[0] == 0
    (folder,) = (tmp_path / "scores").iterdir()
    part = next(folder.glob("parts/**/*.parquet"))
    part.unlink()
    done = in_namespace(f"""
        mount --bind {folder} {folder}
        mount -o remount,bind,ro {folder}
        {command(job(tmp_path))} && exit 9 || test $? = 1
    """)
    assert done.returncode == 0, done.stderr
    assert "error: " in done.stderr and "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    assert qnal_job(tmp_path / "job", *job(tmp_path))[0] == 0
    assert part.exists()
