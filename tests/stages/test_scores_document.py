"""docs/scores.md says what is written, column by column and file by file."""

import re
from pathlib import Path

import numpy as np
import pytest

from qnal.ensemble.votes import score_schema
from qnal.inference.packing import PackedPredictions, Packing
from qnal.inference.prediction_cache import FORMAT_VERSION as CACHE_VERSION
from qnal.inference.prediction_file import nested
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.scores.bmus import BMU_SCHEMA
from qnal.scores.dataset import ScoresFolder
from qnal.scores.description import FORMAT_VERSION
from qnal.scores.file_index import SCHEMA
from qnal.scores.pool_report import pool_tables
from qnal.scores.qso_qn import qso_qn_dtype
from qnal.scores.redrock_columns import REDROCK_COLUMNS
from qnal.scores.statistics import statistics
from qnal.spectra.target_table import target_columns

DOCUMENT = Path(__file__).parents[2] / "docs" / "scores.md"


def cells(line):
    """Cells of a row of a table; a bar within a cell is escaped."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@pytest.fixture(scope="module")
def sections():
    """Columns and types of each section's table."""
    found = {}
    for section in DOCUMENT.read_text().split("\n## ")[1:]:
        title, *lines = section.splitlines()
        rows = [cells(line) for line in lines if line.startswith("| ")]
        found[title] = [(row[0], row[1]) for row in rows if len(row) == 5][1:]
    return found


def fields(*schemas):
    return [(field.name, str(field.type)) for schema in schemas for field in schema]


def test_version():
    assert f"Format version {FORMAT_VERSION}." in DOCUMENT.read_text()
    assert FORMAT_VERSION == CACHE_VERSION


def test_parts(sections):
    schema = score_schema(QUASARNET_LINES, QUASARNET_BAL_LINES)
    assert sections["Parts"] == fields(target_columns("BRZ"), schema)


def test_columns_that_are_never_null(sections):
    lines = DOCUMENT.read_text().split("\n## Parts")[1].split("\n## ")[0].splitlines()
    never = {cells(line)[0] for line in lines if line.endswith("| never |")}
    assert never == {field.name for field in target_columns("BRZ") if not field.nullable}


def test_bmus(sections):
    assert sections["BMUs"] == fields(BMU_SCHEMA)


def test_index(sections):
    assert sections["Identity and resume"] == fields(SCHEMA)


def test_predictions(sections):
    packing = Packing(QUASARNET_LINES, QUASARNET_BAL_LINES, 8.0, 9.0, exact=False)
    none = PackedPredictions.of_no_spectra(packing, np.zeros(2))
    lists = nested(none, packing, np.zeros(0, bool))
    types = [(f"MEMBER_{name}", str(array.type.value_type)) for name, array in lists.items()]
    assert sections["Predictions"] == types


def test_files_on_disk(pipeline):
    """Every file of a dataset and a cache is named by the page, and the other way round."""
    _, summary = pipeline
    listed = DOCUMENT.read_text().split("```")[1]
    listed = {line.split()[0].split("/")[0] for line in listed.splitlines() if line[:2] == "  "}
    folders = [Path(summary["paths"][name]) for name in ("scores", "predictions")]
    found = {p.name for folder in folders for p in folder.iterdir() if p.name[0] != "."}
    cached = {name for name in found if len(name) == 2}
    on_request = {"_scores.csv", "_redrock.parquet", "_qso_qn", "_redrock_priors"}
    assert found - cached == listed - {"ab", *on_request} and cached


def test_redrocks_columns(sections):
    assert sections["Redrock"] == fields(REDROCK_COLUMNS)


def test_qn_tables(sections):
    dtype = qso_qn_dtype(QUASARNET_LINES)
    kinds = {n: dtype[n].base.str[1:] + (" × 10" if dtype[n].shape else "") for n in dtype.names}
    assert sections["QN_RR tables"] == list(kinds.items())


def test_tables_by_night_and_petal(tmp_path):
    text = DOCUMENT.read_text().split("## By night and by petal")[1]
    folder = ScoresFolder(tmp_path)
    for table in pool_tables(statistics(folder, {}, None)).values():
        assert all(f"`{name}`" in text or name in text.split("have")[0] for name in table)


@pytest.fixture
def random_part(pipeline):
    import pyarrow.parquet as pq

    _, summary = pipeline
    return pq.read_table(next(Path(summary["paths"]["scores"], "parts").rglob("*.parquet")))


def test_the_parts_on_disk_are_of_that_schema(sections, random_part):
    assert [(f.name, str(f.type)) for f in random_part.schema] == sections["Parts"]
