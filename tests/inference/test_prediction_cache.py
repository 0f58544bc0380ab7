"""Kept answers belong to weights and spectra, never to a place in a list."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from qnal.inference.packing import PackedPredictions, Packing
from qnal.inference.prediction_cache import PredictionCache
from qnal.spectra.file_version import FileVersion
from qnal.spectra.spectra_file import SpectraFile

FILE = SpectraFile("tile/coadd-0.fits", Path("coadd-0.fits"))
VERSION = FileVersion(10, 20, "spectra", "table")
TARGET_COLUMNS = pa.table({"TARGETID": [5, 6], "STATUS": ["ok", "no_signal"]})


@pytest.fixture
def folder(tmp_path):
    return PredictionCache(tmp_path / "predictions")


@pytest.fixture(scope="module")
def packing(random_network):
    return Packing.of([random_network()])


def answers_of(packing, *members):
    """Answers to one spectrum that name the member that gave them."""
    numbers = np.array([members], np.float32)
    lines = np.broadcast_to(
        numbers[:, None].astype(np.uint16), (1, len(packing.lines), len(members))
    )
    rechecked, margins = numbers == 2, numbers[0].astype(float)
    return PackedPredictions(
        numbers, 10 * numbers, lines, 2 * lines, lines[:, :1], rechecked, margins
    )


def keep(folder, packing, *members, version=VERSION):
    checksums = [f"sha{k}" for k in members]
    folder.write(FILE, version, checksums, np.array([0]), answers_of(packing, *members), packing)


def test_any_members_in_any_order(folder, packing):
    keep(folder, packing, 0, 1, 2)
    keep(folder, packing, 5, 3)
    assert folder.missing(FILE, VERSION, ["sha1", "sha4", "sha5", "sha9"]) == [1, 3]
    for wanted in ([0, 1, 2], [3, 5], [5, 2, 3, 0], [1], [2, 2, 5]):
        checksums = [f"sha{k}" for k in wanted]
        assert folder.missing(FILE, VERSION, checksums) == []
        read = folder.read(FILE, VERSION, checksums, packing)
        np.testing.assert_array_equal(read.deciding, [wanted])
        np.testing.assert_array_equal(read.z_best, [[10 * k for k in wanted]])
        np.testing.assert_array_equal(read.z[0, 3], [2 * k for k in wanted])
    assert folder.read(FILE, VERSION, ["sha1", "sha4"], packing) is None


def test_equal_weights_are_computed_once(folder, packing):
    assert folder.missing(FILE, VERSION, ["a", "b", "a"]) == [0, 1]


def test_other_spectra_have_no_answers(folder, packing):
    keep(folder, packing, 0)
    folder.write_target_table(FILE, VERSION, TARGET_COLUMNS)
    other = FileVersion(10, 20, "others", "table")
    assert folder.missing(FILE, other, ["sha0"]) == [0]
    assert folder.read(FILE, other, ["sha0"], packing) is None
    assert folder.target_table(FILE, other) is None
    touched = FileVersion(10, 99, "spectra", "table")
    assert folder.target_table(FILE, touched).equals(TARGET_COLUMNS)
    assert folder.version(FILE) == VERSION
    assert folder.missing(FILE, touched, ["sha0"]) == []


def test_a_damaged_group_is_computed_again(folder, packing):
    keep(folder, packing, 0)
    keep(folder, packing, 1)
    first = sorted(folder.path.rglob("members-*"))[0]
    content = bytearray(first.read_bytes())
    content[4:400] = bytes(396)  # the footer is as it was
    first.write_bytes(content)
    assert folder.missing(FILE, VERSION, ["sha0", "sha1"]) == []
    assert folder.read(FILE, VERSION, ["sha0", "sha1"], packing) is None
    assert len(folder.missing(FILE, VERSION, ["sha0", "sha1"])) == 1
    first.write_bytes(b"nothing")
    assert len(folder.missing(FILE, VERSION, ["sha0", "sha1"])) == 1


def test_best_cells_are_of_a_map_and_of_spectra(folder):
    cells = pa.table({"BMU": [3, None]})
    folder.write_bmus(FILE, "map-one", VERSION, cells)
    assert folder.bmus(FILE, "map-one", VERSION).equals(cells)
    assert folder.bmus(FILE, "map-two", VERSION) is None
    other = FileVersion(10, 20, "others", "table")
    assert folder.bmus(FILE, "map-one", other) is None


def test_what_is_no_longer_in_the_pool_goes(folder, packing):
    keep(folder, packing, 0)
    other = SpectraFile("tile/coadd-1.fits", Path("coadd-1.fits"))
    folder.write_target_table(other, VERSION, TARGET_COLUMNS)
    half = folder.path / FILE.name / ".members.parquet.1.part"
    half.write_bytes(b"half")
    folder.describe({})
    folder.forget_all_but([FILE])
    assert folder.version(other) is None and not (folder.path / other.name).exists()
    assert folder.missing(FILE, VERSION, ["sha0"]) == [] and not half.exists()
    assert (folder.path / "predictions.json").exists()
    folder.forget(FILE)
    assert folder.missing(FILE, VERSION, ["sha0"]) == [0]
