"""In which numbers the passes of an ensemble are computed."""

from enum import StrEnum
from pathlib import Path


class Precision(StrEnum):
    """Numbers of the convolutions and the dense layer; heads are float32 in any case."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


# As Linux names them: AVX-512 and AMX on x86, Neon and SVE on ARM.
_NATIVE = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}


def computes_bfloat16() -> bool:
    """Whether this processor, or a GPU beside it, computes bfloat16 itself."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in ("flags", "Features") and _NATIVE & set(flags.split()):
            return True
    from qnal.network.tf import tf

    return bool(tf.config.list_physical_devices("GPU"))
