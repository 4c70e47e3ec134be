"""Moving the alias `champion`: forward to an approved version, back to the one before."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from avrec.errors import RegistryError
from avrec.registry import client as server
from avrec.registry import versions
from avrec.registry.approval import APPROVED, ApprovalRecord, one_at_a_time, read_record
from avrec.registry.client import CHALLENGER, CHAMPION, MODEL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PREVIOUS = "avrec.previous_champion"
ROLLED_BACK = "avrec.rolled_back"
FOLDER = "promotions"


@dataclass(frozen=True)
class Move:
    """One move of the alias: promote or rollback, from which version to which, by whom, why, when."""

    kind: str
    version: str
    before: str | None
    who: str
    why: str
    when: str


def promote(name: str, who: str = "", again: bool = False) -> Move:
    """Makes an approved version the champion. Promoting the champion does nothing, so that a retry is harmless.

    Args:
        name: Version number or alias.
        who: Who pressed the button; the approver by default.
        again: Also a version that was rolled back before.

    Raises:
        RegistryError: no approval record, a rejection, files that were changed, or rolled back before.
    """
    client = server.connect()
    with one_at_a_time():
        version = versions.resolve(client, name)
        versions.refuse_revoked(version)
        before = versions.champion(client)
        if before is not None and before.version == version.version:
            return Move("promote", version.version, version.tags.get(PREVIOUS) or None, who, "is the champion", _now())
        approval = _approval(client, version, again)
        _verify(client, version)
        move = Move(
            "promote", version.version, before.version if before else None, who or approval.who, approval.why, _now()
        )
        # The record first: an alias that moved without one would be worse than a record of a move that failed.
        _write(client, version, move)
        versions.tag(client, version, {PREVIOUS: move.before or "", ROLLED_BACK: ""})
        client.set_registered_model_alias(MODEL, CHAMPION, version.version)
        if CHALLENGER in version.aliases:
            client.delete_registered_model_alias(MODEL, CHALLENGER)
    return move


def rollback(who: str, why: str, leaving: str | None = None) -> Move:
    """Makes the previous champion the champion again, and remembers who did it and why.

    Args:
        who: Who wants it.
        why: Recorded with it.
        leaving: Number of the version that is to be the champion no longer. With it a retry is harmless, and a version
            that was promoted meanwhile stays. None: whichever is the champion.

    Raises:
        RegistryError: there is no champion, it is another than `leaving`, it had no predecessor, or the predecessor's
            files were changed.
    """
    client = server.connect()
    with one_at_a_time():
        current = versions.champion(client)
        if current is None:
            raise RegistryError("there is no champion to roll back; `avrec models list` shows the versions.")
        if leaving is not None and current.version != leaving:
            return _left_before(client, leaving, current)
        before = current.tags.get(PREVIOUS)
        if not before:
            raise RegistryError(f"version {current.version} is the first champion; there is none before it.")
        if not why.strip():
            raise RegistryError("why: say why the champion is rolled back; the reason is recorded.")
        target = versions.resolve(client, before)
        _verify(client, target)
        move = Move("rollback", target.version, current.version, who, " ".join(why.split()), _now())
        _write(client, current, move)
        versions.tag(client, current, {ROLLED_BACK: f"{move.when} by {who}: {move.why}"[:4000]})
        client.set_registered_model_alias(MODEL, CHAMPION, target.version)
    return move


def _left_before(client: MlflowClient, leaving: str, current: ModelVersion) -> Move:
    """The rollback that was done already, where that is why another version is the champion."""
    left = versions.resolve(client, leaving)
    if not left.tags.get(ROLLED_BACK) or left.tags.get(PREVIOUS) != current.version:
        raise RegistryError(f"version {leaving} is not the champion, version {current.version} is; nothing was moved.")
    return Move("rollback", current.version, leaving, "", left.tags[ROLLED_BACK], _now())


def champion() -> ModelVersion | None:
    """The version people are served, if one was ever promoted."""
    return versions.champion(server.connect())


def history() -> list[Move]:
    """Every move of the alias, newest first."""
    import mlflow

    client = server.connect()
    moves = [
        Move(**mlflow.artifacts.load_dict(f"runs:/{version.run_id}/{file.path}"))
        for version in versions.all_versions(client)
        for file in client.list_artifacts(version.run_id, FOLDER)
    ]
    return sorted(moves, key=lambda move: move.when, reverse=True)


def _approval(client: MlflowClient, version: ModelVersion, again: bool) -> ApprovalRecord:
    approval = read_record(client, version)
    if approval is None:
        raise RegistryError(f"version {version.version} has no approval record; `avrec models approve` asks a person.")
    if approval.decision != APPROVED:
        raise RegistryError(f"version {version.version} was rejected by {approval.who}: '{approval.why}'.")
    if version.tags.get(ROLLED_BACK) and not again:
        raise RegistryError(
            f"version {version.version} was rolled back ({version.tags[ROLLED_BACK]}); "
            f"`avrec models promote {version.version} --again` if that is over."
        )
    return approval


def _verify(client: MlflowClient, version: ModelVersion) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        versions.fetch_model(client, version.version, Path(scratch) / "model")


def _write(client: MlflowClient, version: ModelVersion, move: Move) -> None:
    stamp = move.when.replace(":", "").replace("+0000", "Z")
    client.log_dict(version.run_id, asdict(move), f"{FOLDER}/{stamp}-{move.kind}.json")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
