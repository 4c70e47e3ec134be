"""Airflow's simple logins, except that nobody edits what tasks hand to one another.

Whoever may run a DAG could otherwise rewrite an XCom by the API: put an answer of an approver's in the place of none,
or another command in the place of a shard's. Tasks themselves write through the execution API, which is not asked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser


class Logins(SimpleAuthManager):
    """`AIRFLOW__CORE__AUTH_MANAGER=dags.config.avrec_logins.Logins`."""

    def is_authorized_dag(
        self,
        *,
        method: ResourceMethod,
        user: SimpleAuthManagerUser,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        """As Airflow decides, but XComs are read only, for admins too: they approve no more than others do."""
        if access_entity is DagAccessEntity.XCOM and method != "GET":
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
