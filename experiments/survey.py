"""Runs experiment=survey stage by stage, measures memory, and writes docs/survey.md.

Command: python experiments/survey.py [WORK_DIR]          (make survey)

The mock survey is written and the members are trained first, so that the measurement of ``infer``
contains nothing else.
"""

import json
import os
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
from machine import describe  # noqa: E402

STAGES = ("mock", "train", "som", "infer", "query")
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(process: int) -> int:
    """Resident memory of a process and its descendants in bytes; shared pages count repeatedly."""
    total, todo = 0, [process]
    while todo:
        pid = todo.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
            for thread in Path(f"/proc/{pid}/task").iterdir():
                todo += [int(child) for child in (thread / "children").read_text().split()]
        except (OSError, ValueError):  # the process has ended
            continue
    return total


def run(stage: str, work: Path) -> tuple[float, list[tuple[float, float]], dict]:
    """Run one stage; returns its duration [s], memory [s, GB] over time, and metrics."""
    command = [sys.executable, "-m", "qnal", "experiment=survey", f"stage={stage}",
               f"work_dir={work}", f"hydra.run.dir={work}/survey/{stage}"]  # fmt: skip
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)  # noqa: S603
    curve: list[tuple[float, float]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            curve.append((time.perf_counter() - begin, resident(process.pid) / 1e9))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    ended.set()
    watcher.join()
    if code:
        raise SystemExit(f"stage={stage} failed with exit code {code}")
    seconds = time.perf_counter() - begin
    summary = json.loads((work / "survey" / stage / "summary.json").read_text())
    return seconds, curve, summary["metrics"]


def main(work: Path) -> None:
    """Run all stages, then write the page and its figure."""
    results = {stage: run(stage, work) for stage in STAGES}
    docs = ROOT / "docs"
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for stage in ("train", "som", "infer", "query"):
        seconds, memory = zip(*results[stage][1], strict=True)
        axes.plot(seconds, memory, label=stage)
    axes.set(xlabel="time since the start of the stage [s]", ylabel="memory of all processes [GB]")
    axes.set_ylim(0)
    axes.legend(frameon=False)
    figure.savefig(docs / "survey_memory.png", dpi=110)
    seconds, curve, metrics = results["infer"]
    spectra, members = metrics["spectra"], metrics["members"]
    middle, end = ([gb for t, gb in curve if a * seconds < t < b * seconds]
                   for a, b in ((0.3, 0.5), (0.7, 0.9)))  # fmt: skip
    rows = "\n".join(
        f"| {stage} | {results[stage][0]:.0f} | {max(gb for _, gb in results[stage][1]):.1f} |"
        for stage in STAGES
    )
    (docs / "survey.md").write_text(
        f"""# Scoring 100,000 spectra

Measured on {date.today().isoformat()} by `make survey` (`experiments/survey.py`), on {describe()}.
The input is a mock survey of {spectra:,.0f} spectra in {metrics["files"]:.0f} coadd files. The
ensemble has {members:.0f} members with the reference's network; precision and executor are the
defaults.

| stage | duration [s] | peak memory of all processes [GB] |
|---|---|---|
{rows}

`infer` scored {spectra / seconds:,.0f} spectra per second, or
{spectra * members / seconds:,.0f} spectra × members per second, start-up and figures included. Of
all spectra, {metrics["scored"]:,.0f} have scores and {spectra - metrics["scored"]:,.0f} are
unusable (see STATUS in [scores.md](scores.md)). At this rate, a million spectra take
{1e6 / spectra * seconds / 3600:.2f} hours on this machine with {members:.0f} members, and about
{1e6 / spectra * seconds / 3600 * 200 / members:.1f} hours with 200 members, where nearly all the
time is spent on forward passes.

![Memory over time](survey_memory.png)

Memory does not grow with the number of spectra scored: its mean is
{sum(middle) / len(middle):.2f} GB between 30 and 50 % of the run time, and
{sum(end) / len(end):.2f} GB between 70 and 90 %. It is used by the worker processes (TensorFlow,
the members, the SOM) and by the main process.
"""
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "work/survey").absolute())
