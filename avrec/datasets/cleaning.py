"""From raw tables to ours: types, required values, known ids. A row that fails is kept apart with its reason.

All of it is SQL over DuckDB tables on disk, so that logs larger than memory pass. Rows that have the right types but
say something unlikely (a watch ratio of 90, an event nobody knows) stay: judging them is validation's work.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from avrec.datasets.outside import quoted
from avrec.schema import INSTANT, TABLES, Column, TableSpec

POSITIVE_EVENTS = ("finish", "like", "share", "follow", "comment", "save")
NEGATIVE_EVENTS = ("skip", "dislike")
FILLED = frozenset({"event", "label", "weight"})
"""Required columns of interactions that get a default."""
TIMED = ("interactions", "impressions", "comments")
WATCHED = 0.7
"""From this watch ratio on a plain view counts as positive."""
LEFT = 0.25
"""Below this watch ratio a plain view counts as negative."""


def clean(connection: Any, name: str, has_time: bool, tells_more: bool = False) -> None:
    """Makes table NAME (typed, with `row`) and `rejected_NAME` (row, item_id, reason, content) from `raw_NAME`.

    Args:
        connection: DuckDB connection in which `items` was cleaned first; knows the function `pseudonym`.
        name: A table of `avrec.schema`.
        has_time: A row without an instant cannot be placed before or after a cut, and is rejected.
        tells_more: These rows continue a log that tells liking from viewing, even if they themselves do not.
    """
    spec = TABLES[name]
    found = [row[0] for row in connection.execute(f'describe "raw_{name}"').fetchall()]
    typed = {column.name: _typed(column, found) for column in spec.columns}
    if name == "interactions":
        typed |= _defaults(typed, tells_more or _tells_more(connection, typed["event"]))
    reasons = [_reason(column, typed[column.name]) for column in spec.columns if column.name in found]
    required = {column.name for column in spec.columns if not column.nullable and column.name not in FILLED}
    required |= {"timestamp"} if has_time and name in TIMED else set()
    reasons += [_absent(column) for column in spec.columns if column.name in required & set(found)]
    if name in TIMED:
        reasons.append(
            "when item_id not in (select item_id from items) then 'item ''' || item_id || ''' is not among the items'"
        )
    selection = ", ".join(f"{expression} as {quoted('clean ' + column)}" for column, expression in typed.items())
    connection.execute(
        f'create table "checked_{name}" as select *, {selection}, case {" ".join(reasons)} end as "reject reason" '
        f'from "raw_{name}"'
    )
    connection.execute(f'drop table "raw_{name}"')
    kept = ", ".join(f"{quoted('clean ' + column)} as {quoted(column)}" for column in typed)
    connection.execute(
        f'create table "{name}" as select row, {kept} from "checked_{name}" where "reject reason" is null'
    )
    _reject(connection, spec, found)
    connection.execute(f'drop table "checked_{name}"')


def _typed(column: Column, found: list[str]) -> str:
    """SQL that gives the column its type, null where that fails."""
    if column.name not in found:
        return f"null::{sql_type(column)}"
    value = quoted(column.name)
    text = f"nullif(trim({value}::varchar), '')"
    if column.type == INSTANT:
        # Numbers are seconds since the epoch; from 1e11 on (the year 5138) they are milliseconds.
        number = f"try_cast({text} as double)"
        micros = f"case when abs({number}) < 1e11 then {number} * 1e6 else {number} * 1e3 end"
        sane = f"abs({number}) < 2e14"
        return (
            f"coalesce(try_cast({text} as timestamptz), case when {sane} then make_timestamptz(({micros})::bigint) end)"
        )
    if pa.types.is_floating(column.type):
        number = f"try_cast({text} as float)"
        return f"case when isfinite({number}) then {number} end"
    if pa.types.is_integer(column.type):
        return f"try_cast({text} as integer)"
    if pa.types.is_list(column.type):
        return f"list_filter(list_transform(string_split({text}, '|'), lambda x: trim(x)), lambda x: x <> '')"
    return text


def sql_type(column: Column) -> str:
    """DuckDB's name of a column's type."""
    if column.type == INSTANT:
        return "timestamptz"
    if pa.types.is_list(column.type):
        return "varchar[]"
    return (
        "float" if pa.types.is_floating(column.type) else "integer" if pa.types.is_integer(column.type) else "varchar"
    )


def _tells_more(connection: Any, event: str) -> bool:
    """Whether the log tells liking from mere viewing at all."""
    query = f"select count(*) from raw_interactions where {event} in {POSITIVE_EVENTS}"
    return bool(connection.execute(query).fetchone()[0])


def _defaults(typed: dict[str, str], tells_more: bool) -> dict[str, str]:
    """Event, label and weight where the source has none.

    Without a label the event speaks, then the watched share. A bare view is unknown in a log that also knows likes or
    the like; in one that knows nothing but views it is a positive, because to be in the log at all is all there is to
    know.
    """
    event, ratio = typed["event"], typed["watch_ratio"]
    speaks = (
        f"case when {event} in {POSITIVE_EVENTS} then 'positive' when {event} in {NEGATIVE_EVENTS} then 'negative' "
        f"when {ratio} >= {WATCHED} then 'positive' when {ratio} < {LEFT} then 'negative' "
        f"when {ratio} is not null then 'unknown' else '{'unknown' if tells_more else 'positive'}' end"
    )
    return {
        "event": f"coalesce({event}, 'view')",
        "label": f"coalesce({typed['label']}, {speaks})",
        "weight": f"coalesce({typed['weight']}, 1.0::float)",
    }


def _reason(column: Column, typed: str) -> str:
    """A branch of the `case`: something is there, but it is not of the type."""
    value = f"nullif(trim({quoted(column.name)}::varchar), '')"
    kind = "an instant" if column.type == INSTANT else "a finite number"
    if not (column.type == INSTANT or pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return ""
    return f"when {value} is not null and {typed} is null then '{column.name} ''' || {value} || ''' is not {kind}'"


def _absent(column: Column) -> str:
    return f"when nullif(trim({quoted(column.name)}::varchar), '') is null then '{column.name} is empty'"


def _reject(connection: Any, spec: TableSpec, found: list[str]) -> None:
    """`rejected_NAME`, the rows as JSON with pseudonyms in place of user ids."""
    fields = [column for column in found if column != "row"]
    shown = ", ".join(
        f"{quoted(column)} := "
        + (f"pseudonym({quoted(column)}::varchar)" if column == "user_id" else f"{quoted(column)}::varchar")
        for column in fields
    )
    item = '"item_id"::varchar' if "item_id" in fields else "null::varchar"
    connection.execute(
        f'create table "rejected_{spec.name}" as select row, {item} as item_id, "reject reason" as reason, '
        f"to_json(struct_pack({shown}))::varchar as content "
        f'from "checked_{spec.name}" where "reject reason" is not null'
    )
