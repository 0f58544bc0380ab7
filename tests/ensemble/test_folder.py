import shutil

import pandas as pd
import pytest

from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.votes import Thresholds
from qnal.errors import InputError
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.weights import write_network

NAMES = (QUASARNET_LINES, QUASARNET_BAL_LINES)
SMALL = {"layers": 1, "filters": 2, "units": 3}


DESCRIPTION = EnsembleDescription(
    fingerprint="abc", bal_trained=False, thresholds=Thresholds(0.6, 2, 2.5)
)


def networks(path, n=None):
    return EnsembleFolder(path).read(*NAMES, n).networks


@pytest.fixture(scope="module")
def finished(tmp_path_factory, random_network, out_of_bag_table, a_record):
    folder = EnsembleFolder(tmp_path_factory.mktemp("ensemble"))
    folder.start(DESCRIPTION, pd.DataFrame({"TARGETID": [7]}))
    for k in range(3):
        folder.add(random_network(k, **SMALL), out_of_bag_table, a_record(k))
    folder.write(DESCRIPTION)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """A copy to break."""
    shutil.copytree(finished.path, tmp_path / "ensemble")
    return EnsembleFolder(tmp_path / "ensemble")


def test_reads_what_was_stored(finished, random_network):
    stored = finished.read(*NAMES)
    assert len(stored.networks) == 3
    for k, network in enumerate(stored.networks):
        assert (network.head_kernel == random_network(k, **SMALL).head_kernel).all()
    description = stored.description
    assert description.thresholds == Thresholds(0.6, 2, 2.5) and not description.bal_trained
    assert stored.checksums == tuple(r.sha256 for r in finished.records())
    assert stored.checksums == tuple(m.sha256 for m in description.members)
    assert finished.fingerprint() == "abc"
    assert [r.member for r in finished.records()] == [0, 1, 2]
    assert [r.member for r in finished.records(2)] == [0, 1]
    assert finished.out_of_bag(1)["TARGETID"].tolist() == [7]
    assert len(networks(finished.path, n=2)) == 2
    assert len(networks(finished.path, n=99)) == 3
    names = {p.name for p in finished.path.rglob("*") if p.is_file()}
    assert not any(name.startswith(".") for name in names)


@pytest.mark.parametrize(
    "killed_before", ["0001.h5", "0001_oob.parquet", "0001.json"], ids=lambda n: n
)
def test_killed_between_files(folder, killed_before, random_network, out_of_bag_table, a_record):
    """Files are written in this order; without the last one there is no member."""
    order = ["0001.h5", "0001_oob.parquet", "0001.json"]
    for name in order[order.index(killed_before) :]:
        (folder.path / "members" / name).unlink()
    # A partial file of a killed process is ignored.
    (folder.path / "members" / ".0001.h5.123.part.h5").write_bytes(b"half")
    assert folder.record(1) is None
    assert [r.member for r in folder.records()] == [0, 2]
    folder.write(DESCRIPTION)
    assert len(networks(folder.path)) == 2
    again = folder.add(random_network(1, **SMALL), out_of_bag_table, a_record(1))
    assert folder.record(1) == again
    assert len(folder.records()) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3", '{"sha256": "0"}', '{"a": 1}'])
def test_a_record_counts_only_if_it_is_whole(folder, content):
    path = folder.weights(1).with_suffix(".json")
    path.write_text(content)
    assert folder.record(1) is None and len(folder.records()) == 2


def test_a_record_of_another_member_does_not_count(folder):
    for ending in (".json", ".h5"):
        shutil.copy(folder.weights(0).with_suffix(ending), folder.weights(1).with_suffix(ending))
    assert folder.record(1) is None


def test_corrupted_weights_are_noticed(folder):
    path = folder.weights(1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # one bit, which HDF5 itself does not notice
    path.write_bytes(data)
    assert folder.record(1) is None and len(folder.records()) == 2
    with pytest.raises(InputError, match=r"0001\.h5: its content does not match the checksum"):
        networks(folder.path)
    assert len(networks(folder.path, n=1)) == 1


def test_a_listed_member_that_is_gone(folder):
    folder.weights(2).unlink()
    with pytest.raises(InputError, match=r"0002\.h5: cannot be read \(No such file"):
        networks(folder.path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "not a readable ensemble description"),
        ("[]", "not a readable ensemble description"),
        ('{"format_version": 1}', "not a readable ensemble description"),
        ('{"format_version": 1, "members": [{"file": 3}]}', "not a readable ensemble"),
        ('{"format_version": 1, "members": [], "calibration": 3}', "not a readable ensemble"),
        ('{"format_version": 2, "members": []}', "format version 2; this qnal reads 1"),
        ('{"format_version": 1, "members": []}', "no members yet"),
    ],
)
def test_broken_manifest(folder, content, sentence):
    (folder.path / "ensemble.json").write_text(content)
    with pytest.raises(InputError, match=f"ensemble.json: .*{sentence}"):
        networks(folder.path)
    assert folder.fingerprint() is None or "{" in content


def test_start_keeps_members_and_updates_labels(folder):
    """``high_z`` changes LABEL, not the ensemble."""
    folder.start(DESCRIPTION, pd.DataFrame({"TARGETID": [7], "LABEL": [3]}))
    assert folder.training_set()["LABEL"].tolist() == [3]
    assert len(folder.description().members) == 3
    before = (folder.path / "training_set.parquet").stat().st_mtime_ns
    folder.start(DESCRIPTION, pd.DataFrame({"TARGETID": [7], "LABEL": [3]}))
    assert (folder.path / "training_set.parquet").stat().st_mtime_ns == before


def test_bare_folder_in_the_order_of_numbers(tmp_path, random_network):
    for k in (0, 2, 10):
        write_network(random_network(k, **SMALL), tmp_path / f"net_{k}.h5")
    (tmp_path / "notes.txt").write_text("hello")
    stored = EnsembleFolder(tmp_path).read(*NAMES)
    for network, k in zip(stored.networks, (0, 2, 10), strict=True):
        assert (network.head_bias == random_network(k, **SMALL).head_bias).all()
    assert stored.description == EnsembleDescription()
    assert len(networks(tmp_path / "net_2.h5")) == 1


def test_bare_folder_of_keras_files_and_the_peers(peer_data, peer_networks):
    assert [len(network.convs) for network in networks(peer_data / "quasarnet")] == [4, 6]


def test_nothing_to_read(tmp_path, random_network):
    with pytest.raises(InputError, match="there is no such folder or file"):
        networks(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"neither ensemble\.json nor a weight file"):
        networks(tmp_path)
    write_network(random_network(**SMALL), tmp_path / "net_0.h5")
    shutil.copy(tmp_path / "net_0.h5", tmp_path / "net_0.hdf5")
    with pytest.raises(InputError, match="several files named net_0, with different endings"):
        networks(tmp_path)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"grid": "linear"}, "trained on the linear grid of 458 pixels"),
        ({"lines": QUASARNET_LINES[:3]}, "its lines differ from those"),
    ],
)
def test_members_that_do_not_belong_together(tmp_path, random_network, other, sentence):
    write_network(random_network(**SMALL), tmp_path / "net_0.h5")
    write_network(random_network(**SMALL | other), tmp_path / "net_1.h5")
    with pytest.raises(InputError, match=r"net_1\.h5: .*" + sentence):
        networks(tmp_path)
