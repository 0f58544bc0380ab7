"""Runs experiment=survey stage by stage, watches memory, and writes docs/survey.md.

    python experiments/survey.py [work_dir]

The pool is written and the members are trained first, so that ``infer`` can be looked at alone.
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
    """Bytes of memory of a process and all that it started; shared pages count in each."""
    total, todo = 0, [process]
    while todo:
        pid = todo.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
            for thread in Path(f"/proc/{pid}/task").iterdir():
                todo += [int(child) for child in (thread / "children").read_text().split()]
        except (OSError, ValueError):  # it has ended meanwhile
            continue
    return total


def run(stage: str, work: Path) -> tuple[float, list[tuple[float, float]], dict]:
    """Seconds, memory in GB over time, and the metrics of one stage."""
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
        raise SystemExit(f"stage={stage} ended with {code}")
    seconds = time.perf_counter() - begin
    summary = json.loads((work / "survey" / stage / "summary.json").read_text())
    return seconds, curve, summary["metrics"]


def main(work: Path) -> None:
    """All stages, then the page and its picture."""
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
        f"""# A hundred thousand spectra

Written by `experiments/survey.py` (`make survey`), {date.today().isoformat()}, on {describe()}.
A mock survey of {spectra:,.0f} spectra in {metrics["files"]:.0f} coadds, {members:.0f} members of
the reference's network, default precision, `executor=local`.

| stage | seconds | largest memory of all its processes [GB] |
|---|---|---|
{rows}

`infer`, start-up and figures included: {spectra / seconds:,.0f} spectra a second, that is
{spectra * members / seconds:,.0f} spectra × members a second; {metrics["scored"]:,.0f} spectra have
scores, {spectra - metrics["scored"]:,.0f} are unusable and say why. A million spectra cost
{1e6 / spectra * seconds / 3600:.2f} hours of this machine with {members:.0f} members, and about
{1e6 / spectra * seconds / 3600 * 200 / members:.1f} hours with 200, where forward passes are all
that counts.

![Memory over time](survey_memory.png)

Memory does not grow with what has been scored: its mean is {sum(middle) / len(middle):.2f} GB from
30 to 50 % of the time and {sum(end) / len(end):.2f} GB from 70 to 90 %. It is that of the workers
(TensorFlow, the members, the map) and of the process that waits for them.
"""
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "work/survey").absolute())
