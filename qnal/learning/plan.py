"""The plan of a study: strategies, budgets and repeats."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from qnal.ensemble.prior import PriorKind
from qnal.query.strategies.strategy import Strategy

BASELINE = "random"


@dataclass(frozen=True)
class Plan:
    """What a study compares.

    Attributes:
        strategies: strategies by name; :data:`BASELINE` is one of them.
        rounds: number of batches that are inspected after the seed.
        seed_labels: number of targets that are labelled at the start, drawn at random.
        batch: number of targets that are inspected in the first round.
        repeats: number of repeats; in one, all strategies start from the same labels and members.
        test: share of the targets that are held out, the same in all repeats.
        priors: priors, each with all strategies; the first is that of the baseline. Empty for the
            recipe's prior alone.
        cold: whether an ensemble without any labels, trained on mock spectra alone, is evaluated
            in each repeat.
        growth: factor by which each batch is larger than the one before.
        minutes: minutes that inspecting one target takes.
    """

    strategies: Mapping[str, Strategy]
    rounds: int
    seed_labels: int
    batch: int
    repeats: int
    test: float
    priors: tuple[PriorKind, ...] = ()
    cold: bool = False
    growth: float = 1.0
    minutes: float = 1.0

    @property
    def batches(self) -> list[int]:
        """Number of targets that are inspected in each round."""
        return [round(self.batch * self.growth**k) for k in range(self.rounds)]

    @property
    def labels(self) -> list[int]:
        """Number of labelled targets at the start and after each round."""
        return list(accumulate(self.batches, initial=self.seed_labels))

    @property
    def trainings(self) -> int:
        """Number of ensembles that are trained; strategies share those of the seed labels."""
        each = self.repeats * (1 + self.rounds * len(self.strategies))
        return each * max(len(self.priors), 1) + self.repeats * self.cold

    def arms(self) -> list[tuple[str, PriorKind | None]]:
        """Every strategy with every prior."""
        priors: tuple[PriorKind | None, ...] = self.priors or (None,)
        return [(name, prior) for prior in priors for name in self.strategies]

    def arm_name(self, strategy: str, prior: PriorKind | None) -> str:
        """Name of an arm, such as ``margin``, or ``margin_mix`` with a prior beside the first."""
        return strategy if prior in (None, *self.priors[:1]) else f"{strategy}_{prior}"
