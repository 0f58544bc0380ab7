"""TensorFlow, imported here and nowhere else: without the remarks it prints on being loaded.

They are written by its C++ parts before any of its log settings is read, straight to the error
stream; what goes wrong is raised as an exception all the same.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def _without_remarks() -> Iterator[None]:
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


with _without_remarks():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()  # a missing GPU is remarked on when it is first looked for

__all__ = ["keras", "tf"]
