import numpy as np
import pyarrow as pa
import pytest

from qnal.selection import figures
from qnal.selection.query import select
from qnal.selection.som import SelfOrganizingMap


@pytest.fixture(scope="module")
def selection():
    share = np.linspace(0, 1, 50)
    table = {"TARGETID": np.arange(50) // 2, "C_NOT": 1 - share, "C_QSO_LZ": share}
    return select(pa.table(table | {"C_QSO_HZ": np.zeros(50)}), n=5)


@pytest.fixture(scope="module")
def som():
    x = np.random.default_rng(0).normal(size=(40, 6))
    return SelfOrganizingMap.fit(x, (3, 4), seed=0, epochs=3)


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


def test_som_map_panels(som):
    counts = np.arange(12)
    shares = np.linspace(0, 1, 12)
    figure = figures.som_map(som, counts, quasars=shares, uncertainty=shares, threshold=2)
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title("left") for axes in panels] == [
        "spectra in each cell",
        "distance to neighbours",
        "share voted quasar",
        "mean uncertainty",
    ]
    shown = panels[0].images[0].get_array().filled(np.nan)
    np.testing.assert_array_equal(shown[1:], counts.reshape(3, 4)[1:])
    assert np.isnan(shown[0, 0])  # empty, not "one"
    assert panels[0].get_xlabel() == "1 of 12 cells empty; 3 marked: dropped"
    assert len(panels[0].collections[0].get_offsets()) == 3
    assert len([a for a in figures.som_map(som, counts).axes if a.images]) == 2


def test_loss(som):
    line = figures.som_loss(som).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xydata(), np.c_[[1, 2, 3], som.loss])


def test_figures_are_drawn(selection, som, tmp_path):
    empty = np.zeros(12, int)
    for name, figure in {
        "histogram": figures.entropy_histogram(selection),
        "funnel": figures.funnel(selection),
        "map": figures.som_map(som, empty, uncertainty=np.full(12, np.nan)),
    }.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
