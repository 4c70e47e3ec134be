"""Who may do what by Airflow's API, where our logins differ from its simple ones."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="module")
def logins(dagbag: Any) -> Any:  # which gives Airflow a home before it is imported
    from dags.config.avrec_logins import Logins

    return Logins()


@pytest.mark.parametrize("role", ["viewer", "user", "op", "admin"])
def test_nobody_edits_what_tasks_hand_over_and_everybody_reads_it(logins: Any, role: str) -> None:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    def may(method: str, entity: DagAccessEntity) -> bool:
        who = SimpleAuthManagerUser(username="someone", role=role)
        return logins.is_authorized_dag(method=method, user=who, access_entity=entity)

    assert may("GET", DagAccessEntity.XCOM)
    assert [may(method, DagAccessEntity.XCOM) for method in ("POST", "PUT", "DELETE")] == [False] * 3
    assert may("POST", DagAccessEntity.RUN) == may("PUT", DagAccessEntity.TASK_INSTANCE) == (role != "viewer")
