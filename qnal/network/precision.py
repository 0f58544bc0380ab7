"""Number formats in which convolutions are computed."""

from enum import StrEnum

from qnal.network.device import has_bfloat16


class Precision(StrEnum):
    """Number format of the convolutions.

    ``auto`` is ``bfloat16`` if the GPU or processor supports it in hardware, else ``float32``.
    With ``bfloat16``, convolutions and the values between layers have 8 significant bits; weights,
    batch norm statistics, dense layers, loss and optimizer stay in float32.
    """

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


def resolved(precision: Precision) -> Precision:
    """The precision with ``auto`` replaced by what it stands for on this machine."""
    if precision is not Precision.auto:
        return precision
    return Precision.bfloat16 if has_bfloat16() else Precision.float32
