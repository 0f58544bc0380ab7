"""Spectra that satisfy an SQL condition."""

import json
from typing import Any

import duckdb

from qnal.errors import ConfigError
from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter


class SqlCondition(Filter):
    """Keep spectra that satisfy a condition on columns of the scores, in DuckDB's SQL.

    Args:
        condition: such as ``C_BAL > 0.5 AND Z > 2``; no subqueries.
        name: name of the step in the funnel; None is the condition.
        interesting: whether the condition says which targets are interesting (control picks are
            drawn before it) rather than which are wanted.

    Raises:
        ConfigError: it is not a condition.
    """

    optional = False

    def __init__(self, condition: str, name: str | None = None, interesting: bool = False) -> None:
        self.condition, self.name, self.interesting = condition, name or condition, interesting
        self.columns = _columns(condition)

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        return f"FROM {candidates.rows} WHERE ({self.condition}\n)"


def _columns(condition: str) -> tuple[str, ...]:
    """The columns that a condition names, in order."""
    with duckdb.connect(":memory:") as connection:
        (text,) = connection.execute(
            "SELECT json_serialize_sql(?)", [f"SELECT 1 WHERE ({condition}\n)"]
        ).fetchall()[0]
    parsed = json.loads(text)
    if parsed["error"]:
        raise ConfigError(f"{condition}: is not an SQL condition ({parsed['error_message']})")
    found: dict[str, None] = {}
    statements = parsed["statements"]
    if len(statements) != 1 or statements[0]["node"].get("from_table", {}).get("type") != "EMPTY":
        raise ConfigError(f"{condition}: is not a single SQL condition")
    _walk(statements[0]["node"]["where_clause"], condition, found)
    return tuple(found)


def _walk(node: Any, condition: str, found: dict[str, None]) -> None:
    if isinstance(node, list):
        for child in node:
            _walk(child, condition, found)
    elif isinstance(node, dict):
        if node.get("class") == "SUBQUERY":
            raise ConfigError(f"{condition}: an SQL condition must not have subqueries")
        if node.get("class") == "COLUMN_REF":
            found[node["column_names"][-1]] = None
        for child in node.values():
            _walk(child, condition, found)
