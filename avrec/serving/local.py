"""`avrec recommend`: a registered version answers on this machine, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from avrec.errors import DataError
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.registry import client as server
from avrec.registry import versions
from avrec.registry.model import FOLDER
from avrec.serving.answering import Answerer
from avrec.settings import settings


def print_recommendations(user: str | None, history: list[str] | None, k: int, version: str,
                          asked: Mapping[str, Any] | None = None) -> None:  # fmt: skip
    """Prints the list of one person or history.

    Args:
        user: Pseudonym or raw id; a raw one is turned into its pseudonym under the key of this home.
        history: Item ids, oldest first, instead of a user.
        k: Length.
        version: Registered version or alias.
        asked: More fields of the request: `filters`, `diversity`, `max_per_category`, `segment`.

    Raises:
        DataError: neither or both of user and history, or an unknown item.
        RegistryError: no such version, or it was changed.
    """
    if (user is None) == (history is None) and (user is not None or "segment" not in (asked or {})):
        raise DataError("recommend: for whom? Give one of --user ID, --history ID,ID,... or --segment NAME=VALUE.")
    number, answerer = load_version(version)
    answer = recommend(answerer, user, history, k, asked)
    _print(answer, user, number, answerer.bundle.synthetic)


def asked_of(segment: str | None = None, diversity: float | None = None, max_per_category: int | None = None,
             **filters: Any) -> dict[str, Any]:  # fmt: skip
    """Fields of a request, without those that nobody gave."""
    given = {name: value for name, value in filters.items() if value is not None}
    own: dict[str, Any] = {"diversity": diversity, "max_per_category": max_per_category, "segment": segment}
    own |= {"filters": given or None}
    return {name: value for name, value in own.items() if value is not None}


def load_version(name: str) -> tuple[str, Answerer]:
    """A version by number or alias, checked against its hashes; kept in this home for the next time."""
    client = server.connect()
    version = versions.resolve(client, name)
    versions.refuse_revoked(version)
    folder = settings().home / "models" / version.tags.get(versions.MODEL_SHA256, "unchecked")
    model = versions.fetch_model(client, version.version, folder)
    return version.version, Answerer.load(model / FOLDER)


def recommend(answerer: Answerer, user: str | None, history: list[str] | None, k: int,
              asked: Mapping[str, Any] | None = None) -> dict[str, Any]:  # fmt: skip
    """The answer to one question; an unknown user gets the default list."""
    request: dict[str, Any] = {"k": k, **(asked or {})}
    if history is not None:
        request["history"] = [item.strip() for item in history if item.strip()]
        if not request["history"]:
            raise DataError("history: expected item ids separated by commas, got none.")
    if user is not None:
        known = answerer.bundle.user_index
        request["user_id"] = user if user in known else _pseudonym(user)
    return answerer.answer([request])[0]


def _pseudonym(user: str) -> str:
    key = settings().secrets
    return Pseudonyms.of_home().of(user) if key.is_dir() else user


def _print(answer: dict[str, Any], user: str | None, version: str, synthetic: bool) -> None:
    if user is not None and not answer["known"]:
        print(f"Version {version} has no history of '{user}'; this is the default list.")
    if not answer["items"]:
        print(
            f"Version {version} has nothing to recommend: no item is available, unseen and of the kind that was asked."
        )
        return
    table = Table(title=f"Version {version}{' (synthetic data)' if synthetic else ''}", title_justify="left")
    for heading in ("rank", "item", "title", "score", "because"):
        table.add_column(heading, overflow="fold")
    for item in answer["items"]:
        because = " ".join(filter(None, [item["reason_kind"], item.get("reason_item_id")]))
        table.add_row(str(item["rank"]), item["item_id"], item.get("title", ""), f"{item['score']:.4f}", because)
    Console().print(table)
