"""The page: what is in the file, and what must not be."""

import base64
import gzip
import json
import re

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from qnal.errors import InputError
from qnal.inspection.selected import SelectedTargets


def block(text: str, name: str) -> object:
    (packed,) = re.findall(rf'<script type="text/plain" id="{name}">([^<]*)</script>', text)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_every_target_is_there_once_with_exact_targetids(make_selection, make_page):
    selection = make_selection()
    pages = make_page(selection)
    text = pages.paths[0].read_text()
    listed = pq.read_table(selection)["TARGETID"].to_pylist()
    assert sorted(int(t["id"]) for t in block(text, "targets")) == sorted(listed)
    assert len(re.findall(r'id="spectrum\d+"', text)) == len(listed) == pages.spectra


def test_nothing_is_fetched(make_selection, make_page):
    text = make_page(make_selection()).paths[0].read_text()
    assert "default-src 'none'" in text
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", text)
    # Only the ends of blocks: a script that holds the words would end early.
    assert text.count("<script") - text.count("<\\/script") <= text.count("</script>") + 1


def test_the_order_follows_from_seed_and_targets_alone(make_selection):
    selection = SelectedTargets.read(make_selection(40))
    reversed_rows = SelectedTargets(selection.path, selection.rows[::-1])
    order = [row["TARGETID"] for row in selection.shuffled(3)]
    assert order == [row["TARGETID"] for row in reversed_rows.shuffled(3)]
    assert order != [row["TARGETID"] for row in selection.shuffled(4)]
    assert order != sorted(order)
    assert selection.fingerprint == reversed_rows.fingerprint


@pytest.mark.parametrize("blind", [False, True])
def test_control_picks_are_not_recognisable(make_selection, make_page, blind):
    text = make_page(make_selection(), blind=blind).paths[0].read_text()
    for target in block(text, "targets"):
        assert not {"control", "rank", "utility"} & {name.lower() for name in target}
        assert not {"CONTROL", "RANK", "UTILITY"} & target["facts"].keys()
        assert ("ensemble" in target, "redrock" in target, "reason" in target) == (not blind,) * 3


def test_many_spectra_are_split(make_selection, make_page):
    pages = make_page(make_selection(12), per_page=5)
    assert [path.name for path in pages.paths] == [f"inspection-{k}.html" for k in (1, 2, 3)]
    texts = [path.read_text() for path in pages.paths]
    found = [[t["id"] for t in block(text, "targets")] for text in texts]
    assert [len(part) for part in found] == [4, 4, 4]
    assert len({t for part in found for t in part}) == 12
    for text, part in zip(texts, found, strict=True):
        settings = block(text, "settings")
        assert set(settings["elsewhere"]) | set(part) == {t for p in found for t in p}
    assert len({block(text, "settings")["selection"] for text in texts}) == 1


def test_spectra_that_cannot_be_read_are_listed(make_selection, make_page, tmp_path):
    selection = make_selection()
    table = pq.read_table(selection).to_pandas()
    table.loc[3, "FILE"] = "tiles/coadd-9-9-exp00000009.fits"
    table.to_parquet(selection)
    pages = make_page(selection)
    assert pages.spectra == 11
    assert len(pages.failed) == 1
    assert str(table.loc[3, "TARGETID"]) in pages.failed[0]


def test_a_pool_that_has_changed_is_refused(make_selection, make_page):
    rows = np.arange(12, dtype=np.int32)[::-1].copy()
    with pytest.raises(InputError, match="is not target"):
        make_page(make_selection(ROW=rows))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"TARGETID": [7] * 12}, "listed twice"),
        ({"TARGETID": np.arange(12.0)}, "does not hold an integer"),
    ],
)
def test_selections_that_are_refused(make_selection, columns, sentence):
    with pytest.raises(InputError, match=sentence):
        SelectedTargets.read(make_selection(**columns))


def test_a_csv_and_a_parquet_selection_are_the_same(make_selection, tmp_path):
    selection = make_selection()
    pyarrow.csv.write_csv(pq.read_table(selection), tmp_path / "selection.csv")
    a, b = SelectedTargets.read(selection), SelectedTargets.read(tmp_path / "selection.csv")
    assert a.fingerprint == b.fingerprint
    assert [r["TARGETID"] for r in a.rows] == [r["TARGETID"] for r in b.rows]


def test_a_selection_as_fits_names_the_others(tmp_path):
    with pytest.raises(
        InputError, match=r"selection\.fits: .* reads a selection as CSV or Parquet"
    ):
        SelectedTargets.read(tmp_path / "selection.fits")


@pytest.mark.parametrize("content", ["", "TARGETID,FILE\n1,a\n", "TARGETID,FILE,ROW\n"])
def test_tables_that_are_not_selections(tmp_path, content):
    path = tmp_path / "selection.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"selection\.csv"):
        SelectedTargets.read(path)
