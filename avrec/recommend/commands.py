"""What `avrec tables list` and `show` print."""

from __future__ import annotations

from datetime import date

from rich.console import Console
from rich.table import Table

from avrec.errors import DataError
from avrec.recommend.publication import Publisher
from avrec.recommend.sql import Publication


def parse_date(text: str) -> date:
    """A day written as YYYY-MM-DD.

    Raises:
        DataError: it is written otherwise.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"--date: expected a day as YYYY-MM-DD, got '{text}'.") from error


def print_publications(console: Console | None = None) -> None:
    """Every publication, the ones in force marked."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))  # so that it fits into 80 columns
    for heading in ("date", "status", "version", "rows", "since (UTC)", "publication"):
        table.add_column(heading, no_wrap=True)
    found = Publisher.of_settings().tables.all()
    for one in found:
        table.add_row(*_cells(one), style="" if one.status == "current" else "dim")
    out = console or Console()
    out.print(table if found else "Nothing is published yet: `avrec tables publish --date DAY`.")


def _cells(one: Publication) -> tuple[str, ...]:
    since = f"{one.switched_at:%Y-%m-%d %H:%M}"
    return (f"{one.run_date}", one.status, one.model_version, f"{one.row_count:,}", since, one.id)


def print_list(day: str | None, user_id: str, console: Console | None = None) -> None:
    """One person's list as published.

    Raises:
        DataError: nothing is published for that day, or not for this person.
    """
    publisher = Publisher.of_settings()
    publication = publisher.current(parse_date(day) if day else None)
    rows = publisher.tables.rows(publication.id, user_id).to_pylist()
    if not rows:
        raise DataError(f"{publication.id} has no rows for '{user_id}'; people it does not know get those of '*'.")
    table = Table("rank", "item", "score", "why", "because of", box=None)
    for row in rows:
        because = row["reason_item_id"] or ""
        table.add_row(str(row["rank"]), row["item_id"], f"{row['score']:.4g}", row["reason_kind"], because)
    out = console or Console()
    out.print(f"\n{user_id} on {publication.run_date}", highlight=False, soft_wrap=True)
    out.print(table)
