"""SQL over the three class shares of a spectrum: not a quasar, low and high redshift.

The expressions do not depend on the order of the classes, to the last bit, so that spectra with
permuted shares are tied.
"""

import math

VOTES = ("C_NOT", "C_QSO_LZ", "C_QSO_HZ")  # shares of the members' votes
PROBABILITIES = ("P_NOT", "P_QSO_LZ", "P_QSO_HZ")  # means of the members' soft probabilities
CLASSES = len(VOTES)
HIGHEST_ENTROPY = math.log(CLASSES)  # nat


def largest(columns: tuple[str, ...]) -> str:
    """The largest of the shares."""
    return f"greatest({', '.join(columns)})"


def second_largest(columns: tuple[str, ...]) -> str:
    """The second largest of three shares."""
    a, b, c = columns
    return f"greatest(least({a}, {b}), least(greatest({a}, {b}), {c}))"


def entropy(columns: tuple[str, ...]) -> str:
    """The Shannon entropy −Σ p ln p in nats, summed in order of size."""
    # 0 ln 1 for 0 ln 0. DuckDB computes each term once; a CASE it would compute wherever it stands.
    terms = tuple(f"(0.0 - {p} * ln({p} + ({p} = 0)::DOUBLE))" for p in columns)
    a, b, c = terms
    smallest, largest = f"least(least({a}, {b}), {c})", f"greatest(greatest({a}, {b}), {c})"
    return f"({smallest} + {second_largest(terms)}) + {largest}"
