"""The DAG that forgets: nightly, one at a time, and nothing in it names anybody."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.forget import _parser


@pytest.fixture
def forget(dagbag: Any) -> Any:
    return dagbag.dags["avrec_forget"]


def test_it_forgets_and_then_trains_or_is_done(forget: Any) -> None:
    assert next(task.task_id for task in forget.topological_sort()) == "forget"
    assert forget.get_task("forget").downstream_task_ids == {"train", "done"}
    assert forget.get_task("train").trigger_dag_id == "avrec_train"
    assert (forget.max_active_runs, forget.catchup) == (1, False)


@pytest.mark.parametrize(("revoked", "next_task"), [(True, "train"), (False, "done")])
def test_a_revoked_champion_leads_to_a_training(forget: Any, revoked: bool, next_task: str) -> None:
    assert forget.get_task("forget").choose({"champion_revoked": revoked}, {}) == next_task


def test_no_form_asks_for_a_person(forget: Any) -> None:
    assert not dict(forget.params)
    given = _parser().parse_args(forget.get_task("forget").arguments)
    assert given.due
    assert given.user is None
