"""A table with one thing wrong is refused, and the reason says what."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from avrec.datasets.dataset import Dataset, write_table
from avrec.errors import DataError
from avrec.recommend.bundle import Bundle
from avrec.recommend.checks import validate_table
from avrec.recommend.tables import shard_rows
from avrec.validation.docs import render

from .conftest import make_plan

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def parts(bundle: Bundle, dataset: Dataset) -> list[pa.Table]:
    plan = make_plan(dataset)
    return [pa.concat_tables(shard_rows(bundle, dataset, plan.recipe, *shard)) for shard in plan.shards]


def test_a_good_table_passes(parts: list[pa.Table], dataset: Dataset, tmp_path: Path) -> None:
    warnings = validate_table(make_plan(dataset), parts, dataset, tmp_path / "results.json")
    assert warnings == []
    document = json.loads((tmp_path / "results.json").read_text())
    assert [suite["success"] for suite in document["suites"]] == [True] * 4
    pages = render(tmp_path / "results.json", tmp_path / "docs").parent
    assert sorted(path.name for path in pages.glob("*.html"))[0] == "index.html"


def _seen(rows: Rows, dataset: Dataset) -> None:
    row = rows[-1]
    past = dataset.table("interactions").to_pylist()
    row["item_id"] = next(r["item_id"] for r in past if r["user_id"] == row["user_id"])


def _set(**values: Any) -> Callable[[Rows, Dataset], None]:
    return lambda rows, _: rows[-1].update(values)


def _drop(rows: Rows, _: Dataset) -> None:
    rows.pop(-3)


def _twice(rows: Rows, _: Dataset) -> None:
    rows[-1]["item_id"] = rows[-2]["item_id"]


def _no_default(rows: Rows, _: Dataset) -> None:
    del rows[:5]


@pytest.mark.parametrize(
    ("shard", "spoil", "reason"),
    [
        (2, _seen, "seen before"),
        (2, _set(item_id="i059"), "not available"),
        (2, _set(item_id="nothing"), "an item is unknown"),
        (2, _set(score=float("nan")), "not a finite number"),
        (2, _set(score=float("inf")), "not a finite number"),
        (2, _set(rank=4), "taken twice"),
        (2, _set(rank=6), "not from 1 to 5"),
        (2, _set(reason_kind="because"), "unknown kind"),
        (2, _set(reason_item_id="i058"), "did not like"),
        (2, _twice, "listed twice"),
        (2, _drop, "shorter than"),
        (0, _no_default, "default list is missing"),
    ],
)
def test_a_spoilt_table_is_refused(
    parts: list[pa.Table], dataset: Dataset, shard: int, spoil: Callable[[Rows, Dataset], None], reason: str
) -> None:
    rows = parts[shard].to_pylist()
    spoil(rows, dataset)
    spoilt = [*parts]
    spoilt[shard] = pa.Table.from_pylist(rows, schema=parts[shard].schema)
    with pytest.raises(DataError, match=reason):
        validate_table(make_plan(dataset), spoilt, dataset)


def test_somebody_who_has_seen_everything_needs_no_list(bundle: Bundle, dataset: Dataset, tmp_path: Path) -> None:
    rows = dataset.table("interactions")
    like = rows.slice(0, 1).to_pylist()[0]
    ids = dataset.table("items")["item_id"].to_pylist()
    all_of_them = [{**like, "user_id": "glutton", "item_id": item} for item in ids]
    more = pa.concat_tables([pa.Table.from_pylist(all_of_them, schema=rows.schema), rows])
    shutil.copytree(dataset.folder, tmp_path / "valid")
    write_table(tmp_path / "valid", "interactions", more)
    greedy = Dataset(tmp_path / "valid")
    plan = make_plan(greedy)
    parts = [pa.concat_tables(shard_rows(bundle, greedy, plan.recipe, *shard)) for shard in plan.shards]
    assert "glutton" not in parts[0]["user_id"].to_pylist()
    validate_table(plan, parts, greedy)


def test_people_left_out_are_noticed(parts: list[pa.Table], dataset: Dataset) -> None:
    with pytest.raises(DataError, match="have no list"):
        validate_table(make_plan(dataset), parts[:-1], dataset)
    with pytest.raises(DataError, match="in two shards"):
        validate_table(make_plan(dataset), [*parts, parts[-1]], dataset)
