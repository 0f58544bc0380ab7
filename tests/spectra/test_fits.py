"""FITS files: images by rows, file names, atomic writes."""

from pathlib import Path

import fitsio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qnal.errors import InputError
from qnal.spectra.fits import create_fits, integers, open_fits

KINDS = ["u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(KINDS), zipped=st.booleans())
def test_rows_of_an_image_are_a_slice(
    tmp_path: Path, data: st.DataObject, kind: str, zipped: bool
) -> None:
    shape = data.draw(st.sampled_from([(7,), (9, 3), (1, 5), (4, 2, 3)]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    image = rng.integers(0, 100, shape).astype(kind)
    path = tmp_path / ("a.fits.gz" if zipped else "a.fits")
    path.unlink(missing_ok=True)
    fitsio.write(str(path), image, extname="A")
    first = data.draw(st.integers(0, shape[0] - 1))
    last = data.draw(st.integers(first + 1, shape[0] + 3))
    with open_fits(path) as fits:
        whole, rows = fits.image("A"), fits.image("A", first, last)
        assert fits.shape("A") == shape
    assert whole.dtype == rows.dtype == image.dtype
    assert whole.dtype.isnative
    assert np.array_equal(whole, image)
    assert np.array_equal(rows, image[first:last])


def test_names_that_cfitsio_would_interpret(tmp_path: Path) -> None:
    path = tmp_path / "a folder [1]" / "b(2)+c.fits"
    with create_fits(path) as out:
        out.write(np.arange(3), extname="A")
        assert not path.exists()
    with open_fits(path) as fits:
        assert fits.image("A").tolist() == [0, 1, 2]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_integers_are_exact_or_refused() -> None:
    largest = np.iinfo(np.int64).max
    assert integers(np.array([largest], np.uint64), "ID", Path("a")).tolist() == [largest]
    for wrong in (np.array([largest + 1], np.uint64), np.array([1.0]), np.zeros((2, 2), int)):
        with pytest.raises(InputError, match="a: column ID has"):
            integers(wrong, "ID", Path("a"))
