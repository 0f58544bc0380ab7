import numpy as np
import pyarrow as pa
import pytest

from qnal.query import figures
from qnal.query.select import select


@pytest.fixture(scope="module")
def selection():
    share = np.linspace(0, 1, 50)
    table = {"TARGETID": np.arange(50) // 2, "C_NOT": 1 - share, "C_QSO_LZ": share}
    return select(pa.table(table | {"C_QSO_HZ": np.zeros(50)}), n=5)


def test_histogram_shows_counts_and_cut(selection):
    axes = figures.entropy_histogram(selection).axes[0]
    before, after = (patch.get_data().values for patch in axes.patches)
    assert (before.sum(), after.sum()) == (50, 25)
    assert axes.get_yscale() == "log"
    assert axes.lines[0].get_xdata()[0] == selection.cut
    assert axes.texts[0].get_text().startswith("5 selected")


def test_funnel_has_a_bar_a_step(selection):
    axes = figures.funnel(selection).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [count for _, count in selection.funnel]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        step for step, _ in selection.funnel
    ]


def test_figures_are_drawn(selection, tmp_path):
    for name, figure in {
        "histogram": figures.entropy_histogram(selection),
        "funnel": figures.funnel(selection),
    }.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
