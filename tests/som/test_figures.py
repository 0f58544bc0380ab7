import numpy as np
import pytest

from qnal.som import figures
from qnal.som.som import SelfOrganizingMap


@pytest.fixture(scope="module")
def som():
    x = np.random.default_rng(0).normal(size=(40, 6))
    return SelfOrganizingMap.fit(x, (3, 4), seed=0, epochs=3)


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


def test_labelled_and_outliers_have_panels(som):
    figure = figures.som_map(
        som,
        None,
        labelled=np.arange(12),
        quasars=np.ones(12),
        quasars_by="labelled as",
        outliers=np.zeros(12),
    )
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title("left") for axes in panels] == [
        "distance to neighbours",
        "labelled spectra",
        "share labelled as quasar",
        "share of outliers",
    ]
    assert panels[0].get_xlabel() == "opposite edges touch"


def test_prototypes_lie_as_on_the_map(som):
    counts = np.arange(12)
    wave = np.linspace(4000.0, 9000.0, 6)
    panels = figures.som_prototypes(som, wave, counts).axes
    assert len(panels) == 12
    np.testing.assert_array_equal(panels[0].lines[0].get_xydata(), np.c_[wave, som.weights[8]])
    assert [panels[k].get_title("left") for k in (0, 11)] == ["2, 0   8", "0, 3   3"]


def test_prototypes_of_a_large_map_are_a_few():
    large = SelfOrganizingMap(np.zeros((45 * 10, 3), np.float32), (45, 10))
    panels = figures.som_prototypes(large, np.arange(3.0)).axes
    titles = [axes.get_title("left") for axes in panels]
    assert len(titles) == 49 and titles[:2] == ["41, 0", "41, 2"]


def test_figures_are_drawn(som, tmp_path):
    empty = np.zeros(12, int)
    for name, figure in {
        "map": figures.som_map(som, empty, uncertainty=np.full(12, np.nan)),
        "all": figures.som_map(
            som, empty, uncertainty=np.ones(12), quasars=np.ones(12), labelled=empty
        ),
        "prototypes": figures.som_prototypes(som, np.arange(6.0), empty),
    }.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
