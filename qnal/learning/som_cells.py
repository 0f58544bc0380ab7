"""SOM cells of the spectra of a study, for strategies that divide the pool by them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.learning.loop_set import LoopSet
from qnal.som.som import SelfOrganizingMap
from qnal.som.topology import Shape, Wrap


@dataclass(frozen=True, eq=False)
class SomCells:
    """Where the spectra of a labelled set lie in a SOM.

    Attributes:
        bmu: cell of each spectrum, shape [rows].
        distance: distance from the cell's prototype, shape [rows].
        prototypes: weights of the SOM, shape [cells, npix].
    """

    bmu: NDArray[np.int32]
    distance: NDArray[np.float32]
    prototypes: NDArray[np.floating]

    @classmethod
    def fit(
        cls,
        whole: LoopSet,
        held_out: NDArray[np.bool_],
        shape: Shape,
        wrap: Wrap,
        epochs: int,
    ) -> "SomCells":
        """Fit a SOM to the spectra of the targets that are not held out.

        Args:
            whole: the labelled set; its seed is used.
            held_out: targets to leave out of the fit, shape [targets].
            shape, wrap, epochs: of the SOM, see :meth:`SelfOrganizingMap.fit`.
        """
        x = np.asarray(whole.labelled.x, np.float32)
        pool = ~held_out[whole.target]
        som = SelfOrganizingMap.fit(x[pool], shape, seed=whole.seed, epochs=epochs, wrap=wrap)
        return cls(*som.find_bmu(x), som.weights)

    def columns(self, rows: NDArray[np.integer]) -> pd.DataFrame:
        """BMU and BMU_DISTANCE of some of the spectra."""
        return pd.DataFrame({"BMU": self.bmu[rows], "BMU_DISTANCE": self.distance[rows]})
