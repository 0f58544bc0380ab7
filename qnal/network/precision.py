"""In which numbers convolutions are computed."""

from enum import StrEnum
from pathlib import Path

NATIVE = {"avx512_bf16", "amx_bf16"}  # processor flags that mean products of bfloat16


class Precision(StrEnum):
    """``auto`` is ``bfloat16`` where the device multiplies such numbers itself, else ``float32``.

    With ``bfloat16`` the convolutions and what goes from layer to layer have 8 significant bits;
    weights, batch norm statistics, dense layers, loss and optimizer stay in float32.
    """

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


def resolved(precision: Precision) -> Precision:
    """What ``auto`` stands for on this machine; other values are returned as they are."""
    if precision is not Precision.auto:
        return precision
    return Precision.bfloat16 if _processor_has_bfloat16() else Precision.float32


def _processor_has_bfloat16() -> bool:
    """By the flags that Linux names; where it does not say, no."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    flags = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    return bool(NATIVE & set(next(flags, "").split()))
