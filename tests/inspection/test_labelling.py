"""Labelling in a real browser, by keyboard, from opening the page to reading the CSV back."""

import csv
import re

import numpy as np
import pytest

from qnal.labels.bal_comment import bal_from_comment
from qnal.labels.inspection_table import read_inspections

pytestmark = [pytest.mark.slow, pytest.mark.process]

ENTER, ESCAPE, RIGHT, LEFT = "\ue007", "\ue00c", "\ue014", "\ue012"
UNDO = "\ue009z\ue000"  # control and z
COLUMNS = [
    "TARGETID",
    "EXPID",
    "NIGHT",
    "TILEID",
    "Spec_version",
    "Redrock_version",
    "Template_version",
    "Redrock_spectype",
    "Redrock_z",
    "Redrock_deltachi2",
    "VI_scanner",
    "VI_quality",
    "VI_issue",
    "VI_z",
    "VI_spectype",
    "VI_comment",
]
FORMULA = "=HYPERLINK(1)"
HOSTILE = '<img src=x onerror="window.hacked=1">'

# What is pressed for each of ten targets; expected class, quality, redshift and rest. A redshift
# in words is that of the ensemble or of Redrock.
LABELS = [
    ("a4", "QSO", 4, "ensemble", ""),
    ("r3", "GALAXY", 3, "redrock", ""),
    ("qz2.3456" + ENTER + "4", "QSO", 4, 2.3456, ""),
    ("s2", "STAR", 2, 0.0, ""),
    ("gz0.5" + ENTER + "1", "GALAXY", 1, 0.5, ""),
    ("n", "UNKNOWN", 0, -1.0, "No guess possible"),
    ("a4b", "QSO", 4, "ensemble", "Broad absorption line quasar (BAL)"),
    ("a3c" + FORMULA + ENTER, "QSO", 3, "ensemble", "'" + FORMULA),
    ("r2RSc" + "two objects, blended" + ESCAPE, "GALAXY", 2, "redrock", "two objects; blended"),
    ("a0c" + HOSTILE + ENTER, "QSO", 0, "ensemble", HOSTILE.replace('"', "'")),
]


@pytest.fixture
def votes():
    """Every target is a quasar for most members."""
    return {"C_NOT": np.full(12, 0.25), "C_QSO_LZ": np.full(12, 0.75)}


def test_ten_labels_survive_a_reload_and_are_read_back(make_selection, make_page, browser, votes):
    page = make_page(make_selection(**votes)).paths[0]
    browser.open(page)
    expected = {}
    for k, (keys, spectype, quality, z, comment) in enumerate(LABELS):
        if k == 5:  # a closed tab loses nothing, and inspection goes on where it was
            browser.open(page)
            assert browser.text("done") == "5 labelled"
        target = browser.target()
        assert target["id"] not in expected
        assert browser.label()["quality"] is None  # nothing was carried over
        browser.press(keys)
        known = target[z]["z"] if isinstance(z, str) else z
        expected[int(target["id"])] = (spectype, quality, known, comment)
        browser.press(ENTER)
        browser.drawn()
    browser.press(UNDO)  # shows the last target again; its whole comment was one step
    browser.drawn()
    assert browser.target()["id"] == target["id"]
    assert browser.label()["comment"] == ""
    browser.press("c" + HOSTILE + ENTER)
    assert browser.script("return window.hacked") is None
    saved = browser.saved()
    assert re.fullmatch(r"desi-vi_qnal-[0-9a-f]{8}_ada\.csv", saved.name)
    with saved.open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == COLUMNS
    assert {len(row) for row in rows} == {len(COLUMNS)}
    # No field is a formula for a spreadsheet; numbers may be negative.
    for field in (field for row in rows for field in row):
        assert not field.startswith(("=", "+", "@")) and not re.match(r"-(?!\d)", field)
    table = read_inspections(saved).set_index("TARGETID")
    assert set(table.index) == set(expected)
    for targetid, (spectype, quality, z, comment) in expected.items():
        row = table.loc[targetid]
        assert (row["SPECTYPE"], row["QUALITY"], row["COMMENT"]) == (spectype, quality, comment)
        assert row["Z"] == pytest.approx(z, abs=5.1e-5)
        assert bal_from_comment(comment) == (1 if "BAL" in comment else None)
    issues = {row[COLUMNS.index("VI_issue")] for row in rows[1:]}
    assert issues == {"", "RS"}
    assert browser.errors() == []


def test_a_table_is_read_back_into_an_empty_browser(make_selection, make_page, browser, votes):
    page = make_page(make_selection(**votes)).paths[0]
    browser.open(page)
    for keys, *_ in LABELS:
        browser.press(keys + ENTER)
        browser.drawn()
    saved = browser.saved()
    before = browser.script("return [...labels.memory].map(([k, v]) => [k, {...v, zFrom: 0}])")
    browser.script("localStorage.clear()")
    browser.open(page)
    assert browser.text("done") == "0 labelled"
    read = "document.getElementById('message').textContent.startsWith('Read 10 labels')"
    browser.driver.find_element("id", "file").send_keys(str(saved))
    browser.wait(read)
    after = browser.script("return [...labels.memory].map(([k, v]) => [k, {...v, zFrom: 0}])")
    for (_, was), (_, now) in zip(sorted(before), sorted(after), strict=True):
        assert now.pop("z") == pytest.approx(was.pop("z"), abs=5.1e-5)
        was["comment"] = was["comment"].replace(",", ";").replace('"', "'")
        assert now == was
    browser.press(UNDO)
    browser.wait("document.getElementById('done').textContent === '0 labelled'")


REFUSED = [
    (lambda text: text.replace("VI_z", "redshift"), "it has no column VI_z"),
    (lambda text: text.replace(",2.1000,", ",2,1,"), "has 17 fields and the header 16"),
    (lambda text: text.replace(",2.1000,", ",high,"), "the redshift high is not a number"),
    (lambda text: text.replace(",QSO,", ",Quasar?,"), "the class QUASAR?"),
    (lambda text: text.replace("3963", "1963"), "is not in this selection"),
    (lambda text: text + text.splitlines(keepends=True)[-1], "is there twice"),
    (lambda text: text.replace(",ada,", ",bob,"), "is by bob, and you are ada"),
    (lambda text: text.replace(",4,", ",7,"), "VI_quality 7"),
    (lambda text: text[:-20], "fields and the header"),
]


def test_tables_that_are_refused_change_nothing(make_selection, make_page, browser, tmp_path):
    browser.open(make_page(make_selection(3)).paths[0])
    line = f"{browser.target()['id']},-1,-1,-1,-1,-1,-1,,-1,-1,ada,4,,2.1000,QSO,"
    good = ",".join(COLUMNS) + f"\n{line}\n"
    upload = browser.driver.find_element("id", "file")
    for k, (change, sentence) in enumerate(REFUSED):
        path = tmp_path / f"labels{k}.csv"
        path.write_text(change(good))
        upload.send_keys(str(path))
        browser.wait(f"document.getElementById('message').textContent.startsWith('{path.name}')")
        assert sentence in browser.text("message")
        assert browser.script("return labels.memory.size") == 0
    (tmp_path / "good.csv").write_text(good)
    upload.send_keys(str(tmp_path / "good.csv"))
    browser.wait("labels.memory.size === 1")


def test_redshifts_are_typed_stepped_and_never_carried_over(
    make_selection, make_page, browser, votes
):
    browser.open(make_page(make_selection(**votes)).paths[0])
    first = browser.target()
    assert browser.script("return shown") == pytest.approx(first["ensemble"]["z"])
    browser.press("z2.5")
    assert browser.script("return shown") == 2.5
    lines = dict(
        zip(
            *browser.script(
                "const {label, wave} = plots.models('emission').data_source?.data ?? "
                "plots.models('emission').data; return [label, [...wave]]"
            ),
            strict=True,
        )
    )
    assert lines["Lyα"] == pytest.approx(1215.67 * 3.5)
    browser.press(ESCAPE + "]")
    assert browser.script("return shown") == pytest.approx(2.5 + 0.0005 * 3.5)
    assert browser.label()["z"] is None
    browser.press("v")
    assert browser.label()["z"] == pytest.approx(2.5 + 0.0005 * 3.5, abs=1e-5)
    browser.press("z2,1" + ENTER)
    assert "2,1 is not a redshift" in browser.text("message")
    browser.press(ESCAPE + RIGHT)
    browser.drawn()
    assert browser.label()["z"] is None
    assert browser.script("return shown") == pytest.approx(browser.target()["ensemble"]["z"])
    browser.press(LEFT)
    browser.drawn()
    assert browser.label()["z"] == pytest.approx(2.5 + 0.0005 * 3.5, abs=1e-5)


def test_inspectors_and_selections_share_nothing(make_selection, make_page, browser, votes):
    page = make_page(make_selection(**votes)).paths[0]
    browser.open(page, "ada")
    browser.press("a4")
    browser.open(page, "bob")
    assert browser.text("done") == "0 labelled"
    browser.open(make_page(make_selection(5)).paths[0], "ada")
    assert browser.text("done") == "0 labelled"
    browser.open(make_page(make_selection(**votes)).paths[0], "ada")
    assert browser.text("done") == "1 labelled"


def test_the_same_selection_in_smaller_files_is_shown(make_selection, make_page, browser, votes):
    selection = make_selection(**votes)
    browser.open(make_page(selection).paths[0])
    for _ in range(8):
        browser.press("a4" + RIGHT)
        browser.drawn()
    browser.open(make_page(selection, per_page=4).paths[0])
    assert browser.text("place") == "target 4 of 4"
    assert browser.text("done") == "4 labelled"


def test_reasons_are_shown_after_the_label_and_as_text(make_selection, make_page, browser, votes):
    browser.open(make_page(make_selection(**votes)).paths[0])
    assert browser.text("reason") == ""
    browser.press("a4")
    assert browser.text("reason") == f"Selected because: {HOSTILE}"
    assert browser.script("return window.hacked") is None


def test_blind_pages_show_no_answers(make_selection, make_page, browser):
    browser.open(make_page(make_selection(), blind=True).paths[0])
    for name in ("ensemble", "redrock"):
        assert not browser.driver.find_element("id", name).is_displayed()
    assert browser.script("return shown") == 0
    browser.press("a")
    assert browser.label()["spectype"] is None
    browser.press("qz1.5" + ENTER + "4")
    row = read_inspections(browser.saved()).iloc[0]
    assert (row["SPECTYPE"], row["Z"]) == ("QSO", 1.5)
