from pathlib import Path

import pytest

from qnal.network.precision import Precision, resolved


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
def test_a_named_precision_is_itself(precision):
    assert resolved(precision) is precision


def test_auto_goes_by_what_the_processor_multiplies():
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    native = "avx512_bf16" in flags or "amx_bf16" in flags
    assert resolved(Precision.auto) is (Precision.bfloat16 if native else Precision.float32)
