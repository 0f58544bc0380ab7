"""Broad absorption lines (BALs) in inspectors' comments."""

import re

# BAL, BALs, LoBAL, HiBAL, FeLoBAL, mini-BAL, BAL QSO, BALQSO
_BAL = r"(?:mini[- ]?)?(?:fe)?(?:lo|hi)?bals?(?:[- ]?(?:qsos?|quasars?))?"
_MENTIONED = re.compile(rf"(?<![a-z]){_BAL}(?![a-z])", re.IGNORECASE)
_DENIED = re.compile(
    rf"(?<![a-z])(?:no|not|non|without)[\s_-]+(?:(?:an?|any|clear|obvious)\s+)*{_BAL}(?![a-z])",
    re.IGNORECASE,
)
_UNCERTAIN = re.compile(
    rf"(?<![a-z])(?:maybe|perhaps|possibl[ey]|poss\.?|potential)\s+(?:an?\s+)?{_BAL}(?![a-z])"
    rf"|(?<![a-z]){_BAL}\s*\?",
    re.IGNORECASE,
)


def bal_from_comment(comment: str) -> int | None:
    """+1 if a comment states a BAL, 0 if it is uncertain or denies one, None if it mentions none.

    Prospect's standard comment is ``BAL``; the variants occur in comments typed by hand. A denial
    is 0, not −1, because it may refer to one line only.
    """
    if not _MENTIONED.search(comment):
        return None
    stated = _DENIED.sub(" ", _UNCERTAIN.sub(" ", comment))
    return int(bool(_MENTIONED.search(stated)))
