"""What a person answered in Airflow, written down: checked once more, and once only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avrec.errors import RegistryError
from avrec.registry import client as server
from avrec.registry.gate import ARTIFACT
from avrec.registry.verdict import Check, GateReport
from pipelines.approve import record

REASON = "Better on new items, looked at twenty lists."


def answer(**changes: Any) -> dict[str, Any]:
    """As Airflow keeps it in XCom."""
    given = {
        "chosen_options": ["Approve"],
        "params_input": {"reason": REASON},
        "responded_at": "2026-03-02 10:11:12.131415+00:00",
        "responded_by_user": {"id": "approver", "name": "approver"},
    }
    return {**given, **changes}


@pytest.fixture
def version(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A version that the gate passed, in an MLflow of this test's own."""
    monkeypatch.delenv("AVREC_MLFLOW_URI", raising=False)
    client = server.connect()
    run = client.create_run(server.experiment_id(client))
    gate = GateReport("1", run.info.run_id, None, True, (Check("x", True, "Fine."),), "2026-03-02T00:00:00+00:00", {})
    client.log_dict(run.info.run_id, gate.to_json(), ARTIFACT)
    client.create_registered_model(server.MODEL)
    tags = {"avrec.gate": "passed", "avrec.bundle_md5": "b.dir"}
    made = client.create_model_version(server.MODEL, str(home), run_id=run.info.run_id, tags=tags)
    return str(made.version)


def test_an_answer_is_recorded_once_and_found_on_a_retry(version: str) -> None:
    made = record(version, answer())
    assert (made.decision, made.who, made.why) == ("approved", "approver", REASON)
    assert made.when == "2026-03-02T10:11:12+00:00"  # when the person answered, not when it was written
    assert record(version, answer()) == made
    with pytest.raises(RegistryError, match="A decision stands"):
        record(version, answer(chosen_options=["Reject"]))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"params_input": {"reason": "  "}}, "a reason of at least 10 characters"),
    ({"params_input": {}}, "a reason of at least 10 characters"),
    ({"responded_by_user": None}, "the answer names nobody"),
    ({"responded_by_user": {"id": "operator", "name": "operator"}}, "'operator' is not an approver"),
]


def test_a_form_nobody_checked_decides_nothing_and_the_next_answer_counts(version: str) -> None:
    for changes, said in REFUSED:
        with pytest.raises(RegistryError, match=said) as raised:
            record(version, answer(**changes))
        assert "clear the task `approve`" in str(raised.value)
    assert "avrec.approval" not in server.connect().get_model_version(server.MODEL, version).tags
    assert record(version, answer(chosen_options=["Reject"])).decision == "rejected"
