"""What must hold before a table is put in force: Great Expectations suites over the staged rows.

The facts about each row (is the item available, has the person seen it, how long could the list be) are worked out from
the data set by DuckDB, apart from the code that made the lists.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.matching.base import REASON_KINDS
from avrec.matching.data import Floats
from avrec.recommend.filters import allowed_items, end_of
from avrec.recommend.plan import Plan
from avrec.recommend.recipe import DEFAULT_USER, is_default
from avrec.recommend.segments import MOST
from avrec.validation.gx import CRITICAL, WARNING, Check, SuiteResult, Validator

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

MOST_IN_ONE_LIST = 0.95
"""Share of the lists that one item may be in before it is reported."""


def validate_table(plan: Plan, parts: Iterable[pa.Table], dataset: Dataset, report: Path | None = None,
                   unsafe: Floats | None = None) -> list[str]:  # fmt: skip
    """Checks the staged parts of a plan.

    Args:
        plan: What is to be published.
        parts: Its staged rows, a table a shard.
        dataset: The data set its histories come from.
        report: Where to write the results, in the form that data docs are rendered from.
        unsafe: Probability of unsafe pictures of each item of the data set, NaN where nobody judged.

    Returns:
        Warnings.

    Raises:
        DataError: something critical does not hold; names it and how often.
    """
    validator = Validator()
    connection = _database(plan, dataset, unsafe)
    results: list[SuiteResult] = []
    listed: Counter[str] = Counter()
    users: Counter[str] = Counter()
    for shard, rows in enumerate(parts):
        results.append(validator.run(f"shard {shard}", _facts(connection, rows), _row_checks(plan)))
        listed.update(rows["item_id"].to_pylist())
        users.update(rows["user_id"].unique().to_pylist())
    results.append(validator.run("table", _summary(connection, plan, listed, users), _table_checks(plan)))
    critical, warnings = _failures(results, CRITICAL), _failures(results, WARNING)
    if report is not None:
        _write(report, plan, results, listed.total())
    if critical:
        raise DataError(f"{plan.publication_id} is not published:\n  " + "\n  ".join(critical))
    return warnings


def _failures(results: list[SuiteResult], severity: str) -> list[str]:
    return [f"{result.name}: {reason}" for result in results for reason, how in result.failed if how == severity]


def _row_checks(plan: Plan) -> list[Check]:
    k = plan.recipe.k
    return [
        Check("ExpectCompoundColumnsToBeUnique", {"column_list": ["user_id", "rank"]}, "a rank is taken twice"),
        Check("ExpectCompoundColumnsToBeUnique", {"column_list": ["user_id", "item_id"]}, "an item is listed twice"),
        Check("ExpectColumnValuesToBeBetween", {"column": "rank", "min_value": 1, "max_value": k},
              f"a rank is not from 1 to {k}"),
        _is("gap", 0, "ranks are not contiguous"),
        _is("missing", 0, "a list is shorter than the available items allow"),
        _is("item_state", "available", "an item is unknown, not available on the run date, or filtered out"),
        _is("seen", False, "an item was seen before"),
        _is("finite", True, "a score is not a finite number"),
        _is("reason_liked", True, "a reason names an item that the person did not like"),
        Check("ExpectColumnValuesToBeInSet", {"column": "reason_kind", "value_set": list(REASON_KINDS)},
              "a reason is of an unknown kind"),
    ]  # fmt: skip


def _table_checks(plan: Plan) -> list[Check]:
    k, most = plan.recipe.k, plan.recipe.k * (plan.users + 1 + MOST)
    return [
        _is("default_lists", 1, "the default list is missing"),
        _is("users_missing", 0, "people with a history have no list, or strangers have one"),
        _is("users_twice", 0, "a person is in two shards"),
        _is("items_missing", 0, f"fewer than {k} different items are listed"),
        Check("ExpectColumnValuesToBeBetween", {"column": "row_count", "min_value": 1, "max_value": most},
              "the number of rows is out of bounds"),
        Check("ExpectColumnValuesToBeBetween", {"column": "top_share", "max_value": MOST_IN_ONE_LIST},
              f"one item is in more than {MOST_IN_ONE_LIST:.0%} of the lists", WARNING),
    ]  # fmt: skip


def _is(column: str, value: Any, reason: str) -> Check:
    return Check("ExpectColumnValuesToBeInSet", {"column": column, "value_set": [value]}, reason)


def _database(plan: Plan, dataset: Dataset, unsafe: Floats | None) -> duckdb.DuckDBPyConnection:
    import duckdb

    items = dataset.table("items")
    state = pa.table({"item_id": items["item_id"], "available": allowed_items(items, plan.recipe.filter, unsafe)})
    connection = duckdb.connect()
    connection.register("items", state)
    connection.read_parquet(str(dataset.path("interactions"))).create_view("interactions")
    connection.execute("create temp table settings as select ?::timestamptz as until, ? as k",
                       [end_of(plan.recipe.run_date), plan.recipe.k])  # fmt: skip
    return connection


_PAST = """
    past as (
      select user_id, item_id, bool_or(label = 'positive') as liked from interactions, settings
      where ("timestamp" is null or "timestamp" < until) and user_id in (select user_id from rows)
      group by all
    )
"""

_FACTS = f"""
    with {_PAST},
    possible as (
      select user_id, count(*) as seen_items from past semi join (from items where available) using (item_id)
      group by user_id
    ),
    lengths as (select user_id, count(*) as length from rows group by user_id)
    select r.user_id, r.rank, r.item_id, r.reason_kind,
      r.rank - row_number() over (partition by r.user_id order by r.rank) as gap,
      least(k, (select count(*) from items where available) - coalesce(p.seen_items, 0)) - l.length as missing,
      case when i.item_id is null then 'unknown' when i.available then 'available' else 'unavailable' end as item_state,
      past.item_id is not null as seen,
      coalesce(isfinite(r.score), false) as finite,
      r.reason_item_id is null or coalesce(why.liked, false) as reason_liked
    from rows r cross join settings
    left join items i on i.item_id = r.item_id
    left join past on past.user_id = r.user_id and past.item_id = r.item_id
    left join past why on why.user_id = r.user_id and why.item_id = r.reason_item_id
    left join possible p on p.user_id = r.user_id
    join lengths l on l.user_id = r.user_id
    order by r.user_id, r.rank
"""

# People who have seen all there is: they have no list, and cannot have one.
_EXHAUSTED = """
    select count(*) from (
      select user_id from interactions semi join (from items where available) using (item_id), settings
      where "timestamp" is null or "timestamp" < until
      group by user_id
      having count(distinct item_id) >= (select count(*) from items where available)
    )
"""


def _facts(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> pd.DataFrame:
    """One shard with what must be true of each row, worked out in SQL."""
    connection.register("rows", rows)
    facts: pd.DataFrame = connection.execute(_FACTS).df()
    return facts


def _summary(connection: duckdb.DuckDBPyConnection, plan: Plan, listed: Counter[str],
             users: Counter[str]) -> pd.DataFrame:  # fmt: skip
    import pandas as pd

    found = connection.execute("select count(*) from items where available").fetchone()
    assert found is not None
    people = sum(not is_default(user) for user in users)
    exhausted = connection.execute(_EXHAUSTED).fetchone()
    assert exhausted is not None
    return pd.DataFrame([{
        "default_lists": users[DEFAULT_USER],
        "users_missing": plan.users - exhausted[0] - people,
        "users_twice": sum(times > 1 for times in users.values()),
        "items_missing": max(0, min(plan.recipe.k, found[0]) - len(listed)),
        "row_count": listed.total(),
        "top_share": max(listed.values(), default=0) / max(len(users), 1),
        "items_listed": len(listed),
    }])  # fmt: skip


def _write(path: Path, plan: Plan, results: list[SuiteResult], rows: int) -> None:
    """What `avrec.validation.docs.render` makes pages of."""
    document = {
        "dataset": {"source": f"recommendations {plan.publication_id}", "synthetic": plan.synthetic},
        "suites": [result.document for result in results],
        "tables": {"recommendations": {"rows": rows, "quarantined": 0, "reasons": {}}},
        "critical": _failures(results, CRITICAL),
        "warnings": _failures(results, WARNING),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
