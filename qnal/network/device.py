"""What this machine multiplies fast: asked before a number format or a group size is chosen."""

from pathlib import Path

NATIVE = {"avx512_bf16", "amx_bf16"}  # processor flags that mean products of bfloat16
AMPERE = (8, 0)  # the first compute capability of NVIDIA's that has them
GROUP_ON_GPU = 16  # members; one of this size leaves a GPU idle most of the time


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU that TensorFlow can use."""
    driver = Path("/proc/driver/nvidia/gpus")
    if not driver.is_dir() or not any(driver.iterdir()):
        return False  # known without TensorFlow, which takes seconds to import
    from qnal.tf import tf

    return bool(tf.config.list_physical_devices("GPU"))


def has_bfloat16() -> bool:
    """Whether products of bfloat16 are a matter of the hardware; where nothing says so, no."""
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
    """Members to train together; None stands for 1 on a processor and more on a GPU."""
    return asked or (GROUP_ON_GPU if has_gpu() else 1)
