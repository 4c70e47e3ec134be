from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrec.datasets.dataset import Dataset
from avrec.datasets.split import PARTS, split_interactions
from avrec.errors import DataError
from avrec.params import SplitParams
from avrec.schema import INTERACTIONS

START = datetime(2024, 1, 1, tzinfo=UTC)


def table(rows: list[tuple[int, int, int | None]], given_split: list[str] | None = None) -> pa.Table:
    """Interactions from (user, item, second)."""
    values: list[dict[str, Any]] = [
        {
            "user_id": f"u{user}",
            "item_id": f"i{item}",
            "timestamp": None if second is None else START + timedelta(seconds=second),
            "event": "view",
            "label": "positive",
            "weight": 1.0,
            "given_split": given_split[n] if given_split else None,
        }
        for n, (user, item, second) in enumerate(rows)
    ]
    return pa.Table.from_pylist(values, schema=INTERACTIONS.schema)


logs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 10_000)), min_size=30, max_size=200)
shares = st.builds(SplitParams, val=st.floats(0.05, 0.3), test=st.floats(0.05, 0.3), light_user_max=st.integers(1, 9))


@settings(max_examples=60, deadline=None)
@given(logs, shares)
def test_time_split(rows: list[tuple[int, int, int]], params: SplitParams) -> None:
    whole = table(rows)
    try:
        result = split_interactions(whole, params, has_time=True)
    except DataError:
        return  # so many rows at one instant that a part is empty
    parts = result.parts
    # Nothing is lost and nothing is there twice.
    both = sorted(str(row) for name in PARTS for row in parts[name].to_pylist())
    assert both == sorted(str(row) for row in whole.to_pylist())
    # The future reaches no earlier part, and one instant is in one part.
    times = {name: parts[name]["timestamp"].to_pylist() for name in PARTS}
    assert max(times["train"]) < min(times["val"])
    assert max(times["val"]) < min(times["test"])
    for name in PARTS:
        assert times[name] == sorted(times[name])
    assert result.boundaries["val"] == min(times["val"]).isoformat()


@settings(max_examples=40, deadline=None)
@given(logs, shares)
def test_slices(rows: list[tuple[int, int, int]], params: SplitParams) -> None:
    try:
        result = split_interactions(table(rows), params, has_time=True)
    except DataError:
        return
    trained = set(result.parts["train"]["item_id"].to_pylist())
    for name in ("val", "test"):
        items = set(result.parts[name]["item_id"].to_pylist())
        assert set(result.slices[f"cold_items_{name}"]) == items - trained
    counts = result.parts["train"]["user_id"].to_pylist()
    people = {f"u{user}" for user, _, _ in rows}
    assert set(result.slices["light_users"]) == {u for u in people if counts.count(u) <= params.light_user_max}


@settings(max_examples=40, deadline=None)
@given(logs, st.permutations(range(10)))
def test_names_of_people_do_not_matter(rows: list[tuple[int, int, int]], other: list[int]) -> None:
    params = SplitParams()
    renamed = [(other[user], item, second) for user, item, second in rows]
    try:
        one, two = (split_interactions(table(r), params, has_time=True) for r in (rows, renamed))
    except DataError:
        return
    back = {f"u{new}": f"u{old}" for old, new in enumerate(other)}
    for name in PARTS:
        assert one.parts[name].drop(["user_id"]).equals(two.parts[name].drop(["user_id"]))
        assert one.parts[name]["user_id"].to_pylist() == [back[u] for u in two.parts[name]["user_id"].to_pylist()]
    assert one.slices["light_users"] == [back[u] for u in two.slices["light_users"]]


def test_shares_are_those_of_params() -> None:
    result = split_interactions(table([(n % 7, n % 5, n) for n in range(1000)]), SplitParams(val=0.1, test=0.2), True)
    assert [result.parts[name].num_rows for name in PARTS] == [700, 100, 200]
    assert result.metrics()["counts"]["test"]["positive"] == 200


def test_given_split_keeps_its_parts_and_order() -> None:
    rows = [(user, item, None) for user, item in ((1, 1), (2, 2), (1, 3), (2, 1))]
    result = split_interactions(table(rows, ["train", "train", "val", "test"]), SplitParams(), has_time=False)
    assert [result.parts[name].num_rows for name in PARTS] == [2, 1, 1]
    assert result.parts["train"]["item_id"].to_pylist() == ["i1", "i2"]
    assert result.slices["cold_items_val"] == ["i3"]
    assert result.boundaries == {"val": None, "test": None}


def test_without_a_test_every_second_person_of_val_becomes_it() -> None:
    rows = [(0, 0, None), (5, 1, None), (3, 1, None), (5, 2, None), (9, 3, None)]
    result = split_interactions(table(rows, ["train", "val", "val", "val", "val"]), SplitParams(), has_time=False)
    assert set(result.parts["val"]["user_id"].to_pylist()) == {"u5", "u9"}
    assert set(result.parts["test"]["user_id"].to_pylist()) == {"u3"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [(["train", "dev"], "given_split holds"), (["train", "train"], "gives only"), (["val", "test"], "gives only")],
)
def test_given_split_that_cannot_be_used(parts: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_interactions(table([(0, 0, None), (1, 1, None)], parts), SplitParams(), has_time=False)


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(DataError, match="no interactions"):
        split_interactions(table([]), SplitParams(), has_time=True)
    with pytest.raises(DataError, match="2 interactions have no timestamp"):
        split_interactions(table([(0, 0, None), (0, 1, None), (0, 1, 5)]), SplitParams(), has_time=True)
    with pytest.raises(DataError, match="is empty"):
        split_interactions(table([(0, 0, 7)] * 9), SplitParams(), has_time=True)


def test_the_demo_set_has_cold_items(small_demo: Dataset) -> None:
    result = split_interactions(small_demo.table("interactions"), SplitParams(), has_time=True)
    assert result.slices["cold_items_test"]
