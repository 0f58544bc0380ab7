"""A mixture: shares of the targets by different strategies."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from qnal.errors import ConfigError, InputError
from qnal.query.strategies.named import named_strategy, strategy_names
from qnal.query.strategies.strategy import RANDOM, NumpyStrategy, Strategy

SMALLEST = "1e-12"  # of a utility that is not 0


class Mixture(Strategy):
    """Each of several strategies selects its share of the targets, one after the other.

    UTILITY is that of the first strategy.

    Source: Zhdanov 2019, arXiv:1901.05954, and Hacohen & Weinshall 2023, arXiv:2306.03543, on why
    no single strategy serves all rounds.

    Args:
        shares: mappings with ``strategy`` (a name, or ``_target_`` and arguments) and ``share``
            (any positive number; shares are relative to their sum).
    """

    name = "mixture"

    def __init__(self, shares: Sequence[Mapping[str, Any]]) -> None:
        self.parts: list[tuple[Strategy, float]] = []
        self.notes: list[str] = []
        for entry in shares:
            if set(entry) != {"strategy", "share"}:
                raise ConfigError(
                    f"shares: {dict(entry)} cannot be used; it takes strategy and share"
                )
            given, share = entry["strategy"], float(entry["share"])
            if not 0 < share < math.inf:
                raise ConfigError(f"shares: the share of {given} is {share}; it must be above 0")
            if given == "redrock" and given not in strategy_names():
                self.notes.append(f"The share of {given} was skipped: there is no such strategy.")
                continue
            part = named_strategy(given)
            if isinstance(part, Mixture):
                raise ConfigError("shares: a mixture cannot contain a mixture")
            self.parts.append((part, share))
        if not self.parts:
            raise ConfigError("shares: no strategy is given")
        main = self.parts[0][0]
        self.columns, self.highest, self.label = main.columns, main.highest, main.label
        self.needs = main.needs

    def utility(self) -> str:
        """See :meth:`Strategy.utility`.

        It is above 0, because other strategies of the mixture may select what the first would not.
        """
        return f"greatest({self.parts[0][0].utility()}, {SMALLEST})"

    def computed(self) -> list[NumpyStrategy]:
        """See :meth:`Strategy.computed`."""
        return [each for part, _ in self.parts for each in part.computed()]

    def available(self, columns: Collection[str], name: str) -> Mixture:
        """The mixture of the strategies whose columns are known.

        Args:
            columns: the known columns.
            name: of the scores, for messages.

        Raises:
            InputError: there is none.
        """
        shares, notes = [], list(self.notes)
        for part, share in self.parts:
            missing = [c for c in (*part.columns, *part.needs) if c not in columns and c != RANDOM]
            if missing:
                notes.append(
                    f"The share of {part.name} was skipped and goes to the others: the scores have "
                    f"no {' and no '.join(missing)}."
                )
            else:
                shares.append({"strategy": part, "share": share})
        if not shares:
            raise InputError(f"{name}: has the columns of no strategy of the mixture.")
        left = Mixture(shares)
        left.notes = notes
        return left

    def numbers(self, n: int) -> list[int]:
        """The number of targets of each strategy, ``n`` in all (largest remainders)."""
        total = math.fsum(share for _, share in self.parts)
        exact = [n * share / total for _, share in self.parts]
        numbers = [math.floor(number) for number in exact]
        by_remainder = sorted(range(len(exact)), key=lambda i: (numbers[i] - exact[i], i))
        for i in by_remainder[: n - sum(numbers)]:
            numbers[i] += 1
        return numbers
