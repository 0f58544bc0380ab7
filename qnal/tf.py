"""TensorFlow and Keras, imported only here, without the messages printed while loading.

TensorFlow's C++ code writes them to the standard error stream before its log level can be set.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def _stderr_discarded() -> Iterator[None]:
    stderr = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


with _stderr_discarded():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()  # reports a missing GPU at the first call

__all__ = ["keras", "tf"]
