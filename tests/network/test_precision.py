from pathlib import Path

import pytest

from qnal.network.device import GROUP_ON_GPU, group_size, has_gpu
from qnal.network.precision import Precision, resolved


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
def test_a_named_precision_is_itself(precision):
    assert resolved(precision) is precision


def test_auto_goes_by_what_the_processor_multiplies():
    if has_gpu():
        pytest.skip("here the GPU decides, not the processor")
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    native = "avx512_bf16" in flags or "amx_bf16" in flags
    assert resolved(Precision.auto) is (Precision.bfloat16 if native else Precision.float32)


def test_group_is_one_unless_there_is_a_gpu():
    assert group_size(3) == 3
    assert group_size(None) == (GROUP_ON_GPU if has_gpu() else 1)
