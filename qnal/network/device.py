"""Capabilities of this machine that decide the number format and the group size."""

from pathlib import Path

NATIVE = {"avx512_bf16", "amx_bf16"}  # processor flags of bfloat16 products in hardware
AMPERE = (8, 0)  # NVIDIA compute capability from which GPUs have them
GROUP_ON_GPU = 16  # members trained together; a single one leaves a GPU idle most of the time


def has_gpu() -> bool:
    """Whether TensorFlow can use an NVIDIA GPU."""
    driver = Path("/proc/driver/nvidia/gpus")
    if not driver.is_dir() or not any(driver.iterdir()):
        return False  # without importing TensorFlow, which takes seconds
    from qnal.tf import tf

    return bool(tf.config.list_physical_devices("GPU"))


def has_bfloat16() -> bool:
    """Whether the GPU, or else the processor, is known to multiply bfloat16 in hardware."""
    if has_gpu():
        from qnal.tf import tf

        details = [tf.config.experimental.get_device_details(gpu)
                   for gpu in tf.config.list_physical_devices("GPU")]  # fmt: skip
        return all(d.get("compute_capability", (0, 0)) >= AMPERE for d in details)
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    flags = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    return bool(NATIVE & set(next(flags, "").split()))


def group_size(asked: int | None) -> int:
    """Number of members to train together; None stands for 1 on a processor and 16 on a GPU."""
    return asked or (GROUP_ON_GPU if has_gpu() else 1)
