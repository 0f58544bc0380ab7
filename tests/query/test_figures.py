import numpy as np
import pyarrow as pa
import pytest

from qnal.query import figures
from qnal.query.options import QueryOptions
from qnal.query.select import select


def query(scores, bmu=None, cells=None, **options):
    return select(scores, QueryOptions(**options), bmu, cells)


@pytest.fixture(scope="module")
def selection():
    share = np.linspace(0, 1, 50)
    table = {"TARGETID": np.arange(50) // 2, "C_NOT": 1 - share, "C_QSO_LZ": share}
    return query(pa.table(table | {"C_QSO_HZ": np.zeros(50)}), n=5)


def test_histogram_shows_counts_and_cut(selection):
    axes = figures.utility_histogram(selection).axes[0]
    before, after = (patch.get_data().values for patch in axes.patches)
    assert (before.sum(), after.sum()) == (50, 25)
    assert axes.get_yscale() == "log"
    assert axes.lines[0].get_xdata()[0] == selection.cut
    assert axes.texts[0].get_text() == f"5 selected,\nutility ≥ {selection.cut:.3f}"
    assert axes.get_xlabel() == "vote entropy [nat]"


def test_funnel_has_one_bar_per_step(selection):
    axes = figures.funnel(selection).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [count for _, count in selection.funnel]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        step for step, _ in selection.funnel
    ]


def test_funnel_names_what_each_step_dropped(selection):
    texts = [text.get_text() for text in figures.funnel(selection).axes[0].texts]
    assert texts == ["50", "50", "50", "25   −25", "5"]
