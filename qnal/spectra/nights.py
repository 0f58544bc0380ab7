"""Nights of observation."""

from datetime import date, timedelta

MJD_0 = date(1858, 11, 17)


def night_of(mjd: float) -> int:
    """YYYYMMDD of a modified Julian date: the UTC date that it falls on."""
    day = MJD_0 + timedelta(days=int(mjd))
    return day.year * 10000 + day.month * 100 + day.day
