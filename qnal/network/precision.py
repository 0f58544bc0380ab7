"""In which numbers convolutions are computed."""

from enum import StrEnum

from qnal.network.device import has_bfloat16


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
    return Precision.bfloat16 if has_bfloat16() else Precision.float32
