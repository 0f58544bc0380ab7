import numpy as np
import pytest

from qnal.som import figures
from qnal.som.som import SelfOrganizingMap


@pytest.fixture(scope="module")
def som():
    x = np.random.default_rng(0).normal(size=(40, 6))
    return SelfOrganizingMap.fit(x, (3, 4), seed=0, epochs=3)


def test_som_panels_panels(som):
    counts = np.arange(12)
    shares = np.linspace(0, 1, 12)
    figure = figures.som_panels(som, counts, quasars=shares, uncertainty=shares, threshold=2)
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title("left") for axes in panels] == [
        "spectra per cell",
        "distance to neighbours",
        "fraction voted quasar",
        "mean uncertainty",
    ]
    shown = panels[0].images[0].get_array().filled(np.nan)
    np.testing.assert_array_equal(shown[1:], counts.reshape(3, 4)[1:])
    assert np.isnan(shown[0, 0])  # an empty cell has no value
    assert panels[0].get_xlabel() == "1 of 12 cells empty; 3 dropped (marked)"
    assert len(panels[0].collections[0].get_offsets()) == 3
    assert len([a for a in figures.som_panels(som, counts).axes if a.images]) == 2


def test_loss(som):
    line = figures.som_loss(som).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xydata(), np.c_[[1, 2, 3], som.loss])


def test_labelled_and_outliers_have_panels(som):
    figure = figures.som_panels(
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
        "fraction labelled as quasar",
        "fraction of outliers",
    ]
    assert panels[0].get_xlabel() == "periodic"


def test_prototypes_are_arranged_as_the_cells(som):
    counts = np.arange(12)
    wave = np.linspace(4000.0, 9000.0, 6)
    panels = figures.som_prototypes(som, wave, counts).axes
    assert len(panels) == 12
    np.testing.assert_array_equal(panels[0].lines[0].get_xydata(), np.c_[wave, som.weights[8]])
    assert [panels[k].get_title("left") for k in (0, 11)] == ["2, 0   8", "0, 3   3"]


def test_large_soms_show_a_subset_of_prototypes():
    large = SelfOrganizingMap(np.zeros((45 * 10, 3), np.float32), (45, 10))
    panels = figures.som_prototypes(large, np.arange(3.0)).axes
    titles = [axes.get_title("left") for axes in panels]
    assert len(titles) == 49 and titles[:2] == ["41, 0", "41, 2"]


def test_cells_without_values_are_blank(som):
    empty, unknown = np.zeros(12, int), np.full(12, np.nan)
    figure = figures.som_panels(som, empty, uncertainty=unknown)
    for panel in (axes for axes in figure.axes if axes.images):
        shown = np.ma.filled(panel.images[0].get_array().astype(float), np.nan)
        known = panel.get_title("left") == "distance to neighbours"
        assert np.isnan(shown).all() != known
    figure.canvas.draw()


def test_figures_with_labelled_spectra(som):
    x = som.weights[[0, 0, 5]]
    drawn = figures.som_figures(som, np.arange(6.0), (x, np.array([True, False, True])))
    assert set(drawn) == {"som.png", "som_prototypes.png", "som_loss.png"}
    panels = {axes.get_title("left"): axes for axes in drawn["som.png"].axes if axes.images}
    number = panels["labelled spectra"].images[0].get_array().filled(0).ravel()
    fraction = panels["fraction labelled as quasar"].images[0].get_array().filled(-1).ravel()
    assert (number[[0, 5]].tolist(), fraction[[0, 5]].tolist()) == ([2, 1], [0.5, 1.0])
    assert number.sum() == 3 and (fraction == -1).sum() == 10
    assert len(figures.som_figures(som, np.arange(6.0))["som.png"].axes) == 2  # and its colour bar
