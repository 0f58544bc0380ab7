"""SOM cells of the spectra of a study, for strategies that divide the pool by them."""

import numpy as np
from numpy.typing import NDArray

from qnal.learning.study import Study
from qnal.som.som import SelfOrganizingMap
from qnal.som.topology import Shape, Wrap


def som_cells(study: Study, shape: Shape, wrap: Wrap, epochs: int, seed: int) -> NDArray[np.int32]:
    """Cell of each spectrum, in a SOM fitted to those that are not held out, shape [rows]."""
    x = np.asarray(study.whole.labelled.x, np.float32)
    pool = ~study.held_out[study.whole.target]
    fitted = SelfOrganizingMap.fit(x[pool], shape, seed=seed, epochs=epochs, wrap=wrap)
    return fitted.find_bmu(x)[0]
