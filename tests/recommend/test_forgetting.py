"""Erased people and items leave published tables; everybody else keeps their list."""

from __future__ import annotations

from pathlib import Path

import pytest

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.privacy.receipts import Receipts
from avrec.privacy.scan import Scanner
from avrec.recommend.bundle import Bundle
from avrec.recommend.forgetting import forget_published, remove_superseded, vacuum
from avrec.recommend.publication import Publisher
from avrec.settings import settings

from .conftest import RUN_DATE, make_plan, stage_all


@pytest.fixture
def publisher(bundle: Bundle, dataset: Dataset) -> Publisher:
    """Two publications of a day, and a third one staged."""
    made = Publisher.of_settings()
    for version in ("1", "2"):
        plan = make_plan(dataset, version)
        stage_all(made, bundle, dataset, plan)
        made.publish(plan)
    stage_all(made, bundle, dataset, make_plan(dataset, "3"))
    return made


def test_a_person_leaves_every_publication(publisher: Publisher, dataset: Dataset) -> None:
    current = publisher.current()
    user, other = publisher.tables.users(current.id, 3)[1:]
    others = publisher.tables.rows(current.id, other)
    where = [Path(settings().publications), Path(settings().tables_url.removeprefix("sqlite:///"))]
    assert len(Scanner([user]).folders(where)) >= 4
    Receipts.of_settings().add([user], [], "2026-03-01")
    rows, days = forget_published(publisher, Receipts.of_settings().subjects(), [])
    vacuum(publisher.tables)
    assert (rows, days) == (2 * 2 * 5, {RUN_DATE})
    assert Scanner([user]).folders(where) == []
    assert publisher.tables.rows(current.id, other).equals(others)
    assert publisher.current().row_count == current.row_count - 5
    assert sum(table.num_rows for table in publisher.published(current.plan)) == current.row_count - 5
    with pytest.raises(DataError, match="validated"):
        publisher.publish(make_plan(dataset, "3"))
    assert forget_published(publisher, Receipts.of_settings().subjects(), []) == (0, set())


def test_an_item_is_neither_recommended_nor_a_reason(publisher: Publisher) -> None:
    current = publisher.current()
    rows = [row for user in publisher.tables.users(current.id, 700) for row in
            publisher.tables.rows(current.id, user).to_pylist()]  # fmt: skip
    item = next(row["reason_item_id"] for row in rows if row["reason_item_id"])
    Receipts.of_settings().add([], [item], "2026-03-01")
    forget_published(publisher, Receipts.of_settings().subjects(), [])
    vacuum(publisher.tables)
    where = [Path(settings().publications), Path(settings().tables_url.removeprefix("sqlite:///"))]
    assert Scanner([item]).folders(where) == []
    assert publisher.current().row_count == current.row_count - sum(row["item_id"] == item for row in rows)


def test_superseded_tables_go_by_age(publisher: Publisher) -> None:
    assert remove_superseded(publisher, 30, RUN_DATE.replace(day=20)) == 0
    assert remove_superseded(publisher, 30, RUN_DATE.replace(month=6)) == 1
    assert [p.model_version for p in publisher.tables.all()] == ["2"]
