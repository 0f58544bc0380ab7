"""Random numbers per target."""


def random_number(seed: int, purpose: str = "") -> str:
    """SQL expression of a uniform number per TARGETID, from 0 (exclusive) to 1.

    It depends on nothing else, so that a draw does not depend on the order or number of the scores.
    MD5 is the same in every version of DuckDB; 53 bits of it are an exact double.
    """
    digest = f"md5_number_lower('{purpose}{seed}:' || TARGETID::VARCHAR)"
    return f"(({digest} >> 11)::DOUBLE + 1) / {2.0**53!r}"
