"""What an inspector's comment says of broad absorption lines."""

import re

# BAL, BALs, LoBAL, HiBAL, FeLoBAL, mini-BAL, BAL QSO, BALQSO
_BAL = r"(?:mini[- ]?)?(?:fe)?(?:lo|hi)?bals?(?:[- ]?(?:qsos?|quasars?))?"
_WORD = re.compile(rf"(?<![a-z]){_BAL}(?![a-z])", re.IGNORECASE)
_DENIED = re.compile(
    rf"(?<![a-z])(?:no|not|non|without)[\s_-]+(?:(?:an?|any|clear|obvious)\s+)*{_BAL}(?![a-z])",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    rf"(?<![a-z])(?:maybe|perhaps|possibl[ey]|poss\.?|potential)\s+(?:an?\s+)?{_BAL}(?![a-z])"
    rf"|(?<![a-z]){_BAL}\s*\?",
    re.IGNORECASE,
)


def said_of_bal(comment: str) -> int | None:
    """+1 where a comment says BAL, 0 where it doubts or denies it, None where it is silent.

    Prospect's standard comment is ``BAL``; the variants are those that people type. A comment that
    denies counts as 0, not −1: whether its author looked everywhere, nobody knows.
    """
    if not _WORD.search(comment):
        return None
    return int(bool(_WORD.search(_DENIED.sub(" ", _UNSURE.sub(" ", comment)))))
