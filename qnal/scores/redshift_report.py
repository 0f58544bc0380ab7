"""The page of a pool's report on redshifts: tables and figures written to a job's folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from qnal.scores.pile_ups import pile_ups
from qnal.scores.redshift_counts import RedshiftCounts
from qnal.scores.redshift_figures import redrock_page, redshift_page


def redshift_tables(counts: RedshiftCounts, lines: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Tables by file name: pile-ups, sky fibres called quasars, and with Redrock the classes."""
    tables = {"pile_ups.csv": pile_ups(counts, lines), "sky_quasars.csv": counts.sky}
    return tables | ({"redrock_classes.csv": counts.classes} if counts.has_redrock else {})


def redshift_pages(
    counts: RedshiftCounts, lines: Sequence[str], width: float
) -> Iterator[tuple[Path, Figure]]:
    """Figures by file name."""
    yield Path("redshifts.png"), redshift_page(counts, lines)
    if counts.has_redrock:
        yield Path("redrock.png"), redrock_page(counts, width)
