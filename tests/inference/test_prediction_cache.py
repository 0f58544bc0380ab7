"""Stored predictions belong to weights and spectra, not to a path or a place in a list."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from qnal.inference.packing import PackedPredictions, Packing
from qnal.inference.prediction_cache import PredictionCache
from qnal.scores.bmus import bmu_table
from qnal.scores.file_index import IndexEntry
from qnal.spectra.file_version import FileVersion

VERSION = FileVersion(10, 20, "ab" + "0" * 62, "table")
OTHER = FileVersion(10, 20, "ab" + "1" * 62, "table")
TARGETS = pa.table(
    {
        "TARGETID": [5, 6, 7],
        "FILE": ["f"] * 3,
        "ROW": pa.array([0, 1, 2], pa.int32()),
        "STATUS": ["ok", "no_signal", "ok"],
    }
)


@pytest.fixture
def cache(tmp_path):
    return PredictionCache(tmp_path / "predictions", "a/pool")


@pytest.fixture(scope="module", params=["16 bits", "float32"])
def packing(request, random_network):
    kind = "linear" if request.param == "float32" else "sigmoid"
    return Packing.of([random_network(offset_activation=kind)])


def predictions_of(packing, *members):
    """Predictions for two spectra that name the member that made them."""
    numbers = np.array([members, members], np.float32)
    code = np.float32 if packing.exact else np.uint16
    lines = np.broadcast_to(numbers[:, None].astype(code), (2, len(packing.lines), len(members)))
    rechecked, margins = numbers == 2, numbers[0].astype(float)
    return PackedPredictions(
        numbers, 10 * numbers, lines, 2 * lines, lines[:, :1], rechecked, margins
    )


def write(cache, packing, *members, version=VERSION, bmus=None):
    checksums = [f"sha{k}" for k in members]
    packed = predictions_of(packing, *members)
    cache.write(version, checksums, TARGETS, packed, packing, bmus)


def test_any_members_in_any_order(cache, packing):
    write(cache, packing, 0, 1, 2)
    write(cache, packing, 5, 3)
    spectra = VERSION.spectra
    assert cache.missing(spectra, ["sha1", "sha4", "sha5", "sha9"]) == [1, 3]
    for wanted in ([0, 1, 2], [3, 5], [5, 2, 3, 0], [1], [2, 2, 5]):
        checksums = [f"sha{k}" for k in wanted]
        assert cache.missing(spectra, checksums) == []
        read = cache.read(spectra, checksums, packing)
        expected = predictions_of(packing, *wanted)
        for name in vars(expected):
            found = getattr(read, name)
            np.testing.assert_array_equal(found, getattr(expected, name), err_msg=name)
            assert found.dtype == getattr(expected, name).dtype and found.flags.c_contiguous
    assert cache.read(spectra, ["sha1", "sha4"], packing) is None


def test_equal_weights_are_computed_once(cache):
    assert cache.missing(VERSION.spectra, ["a", "b", "a"]) == [0, 1]


def test_other_spectra_have_no_predictions(cache, packing):
    write(cache, packing, 0)
    assert cache.missing(OTHER.spectra, ["sha0"]) == [0]
    assert cache.read(OTHER.spectra, ["sha0"], packing) is None
    assert cache.target_table(OTHER) is None
    touched = FileVersion(10, 99, VERSION.spectra, "table")
    assert cache.target_table(touched).equals(TARGETS)
    renamed = FileVersion(10, 20, VERSION.spectra, "another table")
    assert cache.target_table(renamed) is None
    assert cache.missing(renamed.spectra, ["sha0"]) == []


def test_a_reader_sees_one_row_per_spectrum(cache, packing):
    write(cache, packing, 0, 2)
    (path,) = cache.path.rglob("*.parquet")
    table = pq.read_table(path)
    assert table["MEMBER_DECIDING"].to_pylist() == [[0, 2], None, [0, 2]]
    assert table["MEMBER_RECHECKED"].to_pylist()[2] == [False, True]
    assert cache.groups(VERSION.spectra)[0].margins.tolist() == [0, 2]
    assert b'"precision": ["float32", "bfloat16"]' in table.schema.metadata[b"qnal"]


def test_a_damaged_group_is_computed_again(cache, packing):
    write(cache, packing, 0)
    write(cache, packing, 1)
    first, _ = sorted(cache.path.rglob("*.parquet"))
    content = bytearray(first.read_bytes())
    content[4:900] = bytes(896)  # the footer is as it was
    first.write_bytes(content)
    both = ["sha0", "sha1"]
    assert cache.missing(VERSION.spectra, both) == []
    assert cache.read(VERSION.spectra, both, packing) is None
    assert len(cache.missing(VERSION.spectra, both)) == 1
    first.write_bytes(b"nothing")
    assert len(cache.missing(VERSION.spectra, both)) == 1


def test_bmus_are_of_a_som_and_of_spectra(cache, packing):
    bmus = bmu_table(TARGETS, np.array([3, 4]), np.array([0.5, 0.6]), np.array([np.nan, 1]))
    write(cache, packing, 0, bmus=("first", bmus))
    cache.write_bmus(VERSION, "second", bmus.slice(0))
    for som in ("first", "second"):
        assert cache.bmus(VERSION, som).to_pylist() == bmus.drop_columns("FILE").to_pylist()
        assert cache.bmus(OTHER, som) is None
    assert cache.bmus(VERSION, "third") is None
    assert cache.target_table(VERSION).equals(TARGETS)


def test_predictions_go_with_the_last_file_that_has_the_spectra(cache, packing):
    write(cache, packing, 0)
    twin = PredictionCache(cache.path, "another/pool")
    twin.write_index({"x": IndexEntry(VERSION)})
    cache.forget([VERSION.spectra])
    assert cache.missing(VERSION.spectra, ["sha0"]) == []
    twin.write_index({})
    cache.forget([VERSION.spectra])
    assert cache.missing(VERSION.spectra, ["sha0"]) == [0]


def test_temporary_files_of_another_job_stay(cache):
    half = Path(cache.path / "ab" / ".x.parquet.1.part")
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    other = PredictionCache(cache.path, "another/pool")
    other.lock.parent.mkdir()
    with FileLock(other.lock):
        cache.remove_scratch()
        assert half.exists()
    cache.remove_scratch()
    assert not half.exists()
