"""The index of files."""

import pytest

from qnal.scores.file_index import (
    IndexEntry,
    VoteCounts,
    content_digest,
    read_index,
    write_index,
)
from qnal.spectra.file_version import FileVersion

ENTRIES = {
    "b/coadd.fits": IndexEntry(FileVersion(2**40, 2**60, "x", "y"), VoteCounts(9, 2, 1), (5, 6)),
    "a/coadd.fits": IndexEntry(FileVersion(1, 2, "v", "w")),
}


def test_an_index_and_back(tmp_path):
    path = tmp_path / "_files.parquet"
    assert read_index(path) == {}
    for entries in (ENTRIES, {}):
        write_index(path, entries)
        assert read_index(path) == entries
    assert list(read_index(path)) == []
    path.write_bytes(b"PAR1 half of it")
    assert read_index(path) == {}


@pytest.mark.parametrize("change", ["spectra", "table", "name", "gone"])
def test_the_digest_follows_the_content(change):
    entries = dict(ENTRIES)
    entry = entries.pop("a/coadd.fits")
    if change in ("spectra", "table"):
        versions = {"spectra": FileVersion(1, 2, "?", "w"), "table": FileVersion(1, 2, "v", "?")}
        entries["a/coadd.fits"] = IndexEntry(versions[change])
    elif change == "name":
        entries["c/coadd.fits"] = entry
    assert content_digest(entries) != content_digest(ENTRIES)
    touched = ENTRIES | {"a/coadd.fits": IndexEntry(FileVersion(1, 99, "v", "w"), part=(7, 8))}
    assert content_digest(touched) == content_digest(ENTRIES)
