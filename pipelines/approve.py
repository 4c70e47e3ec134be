"""Writes the record of what a person answered in Airflow: `python -m pipelines.approve VERSION ANSWER`.

ANSWER is what Airflow kept of it, as JSON: who, when, which button, which reason. It is checked again here,
because Airflow's API takes a form without looking at it.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

from avrec.errors import RegistryError
from avrec.registry import approval, versions
from avrec.registry import client as server
from pipelines.stage import effect, result

APPROVE = "Approve"
AGAIN = "Nothing was decided; clear the task `approve` with what follows it to ask again."


def work() -> None:
    version, answer = sys.argv[1], json.loads(sys.argv[2])
    made = record(version, answer)
    print(f"version {made.version} {made.decision} by {made.who} on {made.when}: {made.why}", flush=True)
    result({"version": made.version, "decision": made.decision, "who": made.who, "when": made.when})


def record(version: str, answer: dict[str, Any]) -> approval.ApprovalRecord:
    """The record of one answer; writing it a second time finds it.

    Raises:
        RegistryError: no name or reason, not an approver, or decided otherwise before.
    """
    person = answer.get("responded_by_user") or {}
    who = str(person.get("name") or person.get("id") or "")
    if not who:
        raise RegistryError(f"the answer names nobody. {AGAIN}")
    approved = answer.get("chosen_options") == [APPROVE]
    why = str((answer.get("params_input") or {}).get("reason") or "")
    before = _before(version)
    if before and (before.who, before.decision == approval.APPROVED) == (who, approved):
        return before
    try:
        return approval.record(
            version, approved=approved, who=who, why=why, when=datetime.fromisoformat(answer["responded_at"])
        )
    except RegistryError as error:
        raise RegistryError(f"{error} {AGAIN}") from error


def _before(version: str) -> approval.ApprovalRecord | None:
    client = server.connect()
    return approval.read_record(client, versions.resolve(client, version))


if __name__ == "__main__":
    effect("approve", work)
