"""What must hold of each table: one list of checks a table, and the SQL for what spans rows or tables."""

from __future__ import annotations

from dataclasses import dataclass

from avrec.params import ValidationParams
from avrec.schema import EVENTS, LABELS, MEDIA_TYPES, TABLES
from avrec.validation.gx import WARNING, Check

LONGEST_TITLE, LONGEST_TEXT, LONGEST_ID = 2_000, 20_000, 512
MOST_TAGS, LONGEST_TAG = 200, 200
LONGEST_DURATION_S = 7 * 24 * 3600.0
LARGEST_WATCH_RATIO = 100.0


@dataclass(frozen=True)
class TableRules:
    """Rules of one table.

    Attributes:
        derived: Column name to a boolean SQL expression over the row (`r`), its clean item (`i`, for
            tables that name one) and `$as_of`.
        columns: Columns of the table that the checks look at.
        checks: Expectations over `columns` and `derived`.
    """

    derived: dict[str, str]
    columns: tuple[str, ...]
    checks: tuple[Check, ...]


def rules(name: str, params: ValidationParams, has_time: bool) -> TableRules:
    """The rules of table `name`."""
    builders = {
        "items": _items,
        "users": _users,
        "interactions": _interactions,
        "impressions": _impressions,
        "comments": _comments,
    }
    return builders[name](1.0 - params.max_quarantined, has_time)


def _row(kind: str, column: str, reason: str, mostly: float, **kwargs: object) -> Check:
    """A rule of single rows: the rows that break it are quarantined; too many of them stop the pipeline."""
    return Check(kind, {"column": column, "mostly": mostly, **kwargs}, reason, quarantines=True)


def _true(column: str, reason: str, mostly: float) -> Check:
    return _row("ExpectColumnValuesToBeInSet", column, reason, mostly, value_set=[True])


def _between(column: str, reason: str, mostly: float, low: float | None, high: float | None) -> Check:
    return _row("ExpectColumnValuesToBeBetween", column, reason, mostly, min_value=low, max_value=high)


def _member(column: str, values: tuple[str, ...], mostly: float) -> Check:
    reason = f"{column} is not one of {', '.join(values)}"
    return _row("ExpectColumnValuesToBeInSet", column, reason, mostly, value_set=list(values))


def _filled(column: str, mostly: float) -> Check:
    return _row("ExpectColumnValuesToNotBeNull", column, f"{column} is empty", mostly)


def _first_of_key(name: str) -> dict[str, str]:
    key = ", ".join(f"r.{column}" for column in TABLES[name].key)
    return {"is_first_of_its_key": f"row_number() over (partition by {key} order by r.file_row_number) = 1"}


def _unique(name: str, mostly: float) -> Check:
    return _true("is_first_of_its_key", f"duplicate of an earlier row ({', '.join(TABLES[name].key)})", mostly)


_NOT_AFTER = "r.{column} is null or $as_of is null or r.{column} <= $as_of"
_NOT_BEFORE_PUBLISHED = "r.timestamp is null or i.published_at is null or i.published_at <= r.timestamp"


def _items(mostly: float, has_time: bool) -> TableRules:
    return TableRules(
        {
            **_first_of_key("items"),
            "is_published_by_as_of": _NOT_AFTER.format(column="published_at"),
            "media_path_stays_inside": "r.media_uri is null or not regexp_matches(r.media_uri, '(^|/)\\.\\.(/|$)')",
            "title_length": "length(r.title)",
            "description_length": "length(r.description)",
            "id_length": "length(r.item_id)",
            "tags_are_few_and_short": f"r.tags is null or (len(r.tags) <= {MOST_TAGS} and "
            f"coalesce(list_max(list_transform(r.tags, lambda t: length(t))), 0) <= {LONGEST_TAG})",
        },
        ("item_id", "media_type", "duration_s"),
        (
            _unique("items", mostly),
            _row("ExpectColumnValuesToMatchRegex", "item_id", "item_id is blank", mostly, regex=r"\S"),
            _member("media_type", MEDIA_TYPES, mostly),
            _between("duration_s", "duration_s is negative or longer than a week", mostly, 0.0, LONGEST_DURATION_S),
            _between("title_length", f"title is longer than {LONGEST_TITLE} characters", mostly, None, LONGEST_TITLE),
            _between(
                "description_length",
                f"description is longer than {LONGEST_TEXT} characters",
                mostly,
                None,
                LONGEST_TEXT,
            ),
            _between("id_length", f"item_id is longer than {LONGEST_ID} characters", mostly, None, LONGEST_ID),
            _true(
                "tags_are_few_and_short", f"more than {MOST_TAGS} tags, or one above {LONGEST_TAG} characters", mostly
            ),
            _true("is_published_by_as_of", "published after the data set's as_of", mostly),
            _true("media_path_stays_inside", "media_uri leaves the media folder", mostly),
        ),
    )


def _users(mostly: float, has_time: bool) -> TableRules:
    return TableRules(
        {**_first_of_key("users"), "has_joined_by_as_of": _NOT_AFTER.format(column="joined_at")},
        ("user_id",),
        (_unique("users", mostly), _true("has_joined_by_as_of", "joined after the data set's as_of", mostly)),
    )


def _event_rules(name: str) -> dict[str, str]:
    return {
        **_first_of_key(name),
        "item_is_known": "i.item_id is not null",
        "happened_by_as_of": _NOT_AFTER.format(column="timestamp"),
        "is_not_before_published": _NOT_BEFORE_PUBLISHED,
    }


def _event_checks(name: str, mostly: float) -> tuple[Check, ...]:
    return (
        _unique(name, mostly),
        _true("item_is_known", "item_id is not in the items table", mostly),
        _true("happened_by_as_of", "timestamp is after the data set's as_of", mostly),
        _true("is_not_before_published", "timestamp is before the item was published", mostly),
    )


def _interactions(mostly: float, has_time: bool) -> TableRules:
    checks = (
        *_event_checks("interactions", mostly),
        _member("event", EVENTS, mostly),
        _member("label", LABELS, mostly),
        _between("weight", "weight is not between 0 and 1", mostly, 0.0, 1.0),
        _between(
            "watch_ratio", f"watch_ratio is negative or above {LARGEST_WATCH_RATIO:g}", mostly, 0.0, LARGEST_WATCH_RATIO
        ),
        _filled("timestamp" if has_time else "given_split", mostly),
        Check(
            "ExpectColumnValuesToBeInSet",
            {"column": "user_is_known", "value_set": [True], "mostly": 0.99},
            "user_id is not in the users table",
            WARNING,
        ),
    )
    known = "(select count(*) from users) = 0 or r.user_id in (select user_id from users)"
    columns = ("event", "label", "weight", "watch_ratio", "timestamp", "given_split")
    return TableRules({**_event_rules("interactions"), "user_is_known": known}, columns, checks)


def _impressions(mostly: float, has_time: bool) -> TableRules:
    checks = (*_event_checks("impressions", mostly), _between("rank", "rank is below 1", mostly, 1, None))
    return TableRules(_event_rules("impressions"), ("rank",), checks)


def _comments(mostly: float, has_time: bool) -> TableRules:
    reason = f"text is empty or longer than {LONGEST_TEXT} characters"
    checks = (*_event_checks("comments", mostly), _between("text_length", reason, mostly, 1, LONGEST_TEXT))
    return TableRules({**_event_rules("comments"), "text_length": "length(trim(r.text))"}, (), checks)
