"""What this machine can do at most, and two ways of doing a thing timed in turn."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import numpy as np

from qnal.threads import available_cores


def describe() -> str:
    """Processor, cores this process may use, and what of bfloat16 the processor computes."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    known = {key.strip(): value.strip() for key, value in lines.items()}
    flags = known.get("flags", "").split()
    narrow = [name for name in ("avx512_bf16", "amx_bf16") if name in flags]
    cores = available_cores()
    return (
        f"{known.get('model name', 'unknown processor')}, {cores} cores, {narrow or 'no bfloat16'}"
    )


def gemm_limit(dtype: str = "float32", size: int = 2048, seconds: float = 1.5) -> float:
    """FLOP/s of TensorFlow's matrix product on all cores, the best of many: the machine's limit."""
    from qnal.tf import tf

    rng = np.random.default_rng(0)
    a, b = (tf.cast(tf.constant(rng.normal(size=(size, size))), dtype) for _ in range(2))
    product = tf.function(tf.linalg.matmul)
    best, start = np.inf, time.perf_counter()
    product(a, b).numpy()
    while time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        product(a, b).numpy()
        best = min(best, time.perf_counter() - begin)
    return float(2 * size**3 / best)


def side_by_side(
    ways: Mapping[str, Callable[[], object]], repeats: int = 5
) -> dict[str, list[float]]:
    """Seconds of each way, run in turn (A B A B …) so that the machine's moods meet all alike.

    Every way runs once before, uncounted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def ratio(seconds: Mapping[str, list[float]], slow: str, fast: str) -> tuple[float, float, float]:
    """Median, least and largest of ``slow`` / ``fast``, pair by pair."""
    ratios = [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)]
    return median(ratios), min(ratios), max(ratios)
