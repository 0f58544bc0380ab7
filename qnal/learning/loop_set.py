"""The labelled set of a simulated loop: targets that may be inspected, and targets held out."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qnal.ensemble.labelled_set import LabelledSet
from qnal.errors import ConfigError
from qnal.labels.label import BadRows, Label
from qnal.learning.oracle import Oracle


@dataclass(frozen=True, eq=False)
class LoopSet:
    """A labelled set whose labels are revealed target by target.

    Targets are numbered in ascending order of TARGETID. The random numbers of a purpose depend on
    the seed, the purpose and the repeat only.

    Attributes:
        labelled: all spectra with their true labels.
        seed: seed of the loop.
    """

    labelled: LabelledSet
    seed: int

    @cached_property
    def targetids(self) -> NDArray[np.int64]:
        """TARGETID of each target, ascending."""
        return np.unique(self.labelled.column("TARGETID"))

    @cached_property
    def target(self) -> NDArray[np.intp]:
        """Number of the target of each spectrum, shape [rows]."""
        return np.searchsorted(self.targetids, self.labelled.column("TARGETID"))

    def held_out(self, share: float) -> NDArray[np.bool_]:
        """Targets that are never inspected, the same ones in all repeats, shape [targets].

        Raises:
            ConfigError: either part would have no target.
        """
        number, all_ = round(share * len(self.targetids)), len(self.targetids)
        if not 0 < number < all_:
            raise ConfigError(
                f"test={share} cannot be used; of {all_} labelled targets at least one must "
                "be held out and one left to inspect."
            )
        held = np.zeros(all_, bool)
        held[self._rng("test").choice(all_, number, replace=False)] = True
        return held

    def seed_targets(self, held_out: NDArray[np.bool_], number: int, repeat: int) -> list[int]:
        """Targets that are labelled at the start of a repeat, drawn at random."""
        free = np.flatnonzero(~held_out)
        return [int(t) for t in self._rng("seed", repeat).permutation(free)[:number]]

    def random_seed(self, purpose: str, *keys: int) -> int:
        """A seed for a purpose, such as the members of a repeat."""
        return int(self._rng(purpose, *keys).integers(2**31))

    def training_set(
        self, targets: tuple[int, ...], oracle: Oracle, repeat: int, bad: BadRows
    ) -> LabelledSet:
        """The spectra of the inspected targets with the labels that an inspector gave them."""
        table = oracle.answers(self.labelled.table, self._rng("oracle", repeat))
        use = np.isin(self.target, targets)
        if bad is BadRows.drop:
            use &= (table["LABEL"] != Label.BAD).to_numpy()
        rows = np.flatnonzero(use)
        return replace(self.labelled, table=table, counts={}).subset(rows)

    def _rng(self, purpose: str, *keys: int) -> np.random.Generator:
        code = int.from_bytes(purpose.encode(), "big") % 2**32
        return np.random.default_rng(np.random.SeedSequence([self.seed, code, *keys]))
