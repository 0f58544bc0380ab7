"""The note of a run: Markdown that the MLflow UI shows as the run's description."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FIRST = 4  # results above the fold: the UI shows the first lines of a note only
LIMIT = 7500  # characters; MLflow accepts 8000 in a tag


@dataclass(frozen=True)
class Note:
    """What a person wants to know about a run first.

    Attributes:
        what: one sentence on what was done.
        on: what it was done on, by name.
        results: the most important numbers, the first of them first; None where undefined.
        figure: artifact path of a figure.
        remarks: further sentences, such as warnings.
        next_step: commands that continue from here, with what they do.
    """

    what: str
    on: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, float | int | None] = field(default_factory=dict)
    figure: str | None = None
    remarks: Sequence[str] = ()
    next_step: Mapping[str, str] = field(default_factory=dict)

    def markdown(self, run_id: str) -> str:
        """The note as Markdown, cut at MLflow's limit."""
        blocks = [self.what]
        rows = [(n, v) for n, v in self.results.items() if v is not None]
        if rows:
            blocks.append(_in_a_line(rows[:FIRST]))
        if self.figure:
            # The address at which MLflow's server and UI serve artifacts of runs.
            blocks.append(f"![{self.figure}](get-artifact?path={self.figure}&run_uuid={run_id})")
        if self.on:
            blocks.append("\n".join(f"* {name}: `{value}`" for name, value in self.on.items()))
        if rows[FIRST:]:
            blocks.append(_in_a_line(rows[FIRST:]))  # the UI shows tables without any spacing
        if self.remarks:
            blocks.append("\n".join(f"* {remark}" for remark in self.remarks))
        if self.next_step:
            blocks.append(
                "**Next**\n\n" + "\n".join(f"* {w}: `{c}`" for w, c in self.next_step.items())
            )
        text = "\n\n".join(blocks)
        return text if len(text) <= LIMIT else f"{text[:LIMIT]} …"


def _in_a_line(rows: Sequence[tuple[str, float | int]]) -> str:
    return " · ".join(f"{name} **{_number(value)}**" for name, value in rows)


def _number(value: float | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
