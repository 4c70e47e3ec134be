"""Requests to be forgotten, collected until a batch is due. They name people, and are removed once they are done."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from avrec.params import PrivacyParams
from avrec.settings import settings

FOLDER = ".requests"


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        people: Pseudonyms of the person, one a key the person may be known under.
        items: Item ids.
        marks: Texts that would give the person away in a log: the raw id.
        asked: Day of the request, ISO.
        media: Also delete the media of erased items in the folder they were imported from.
    """

    people: tuple[str, ...]
    items: tuple[str, ...]
    marks: tuple[str, ...]
    asked: str
    media: bool = False


class Requests:
    """The requests that wait, in the store of the imports: it holds the people they are about anyway."""

    def __init__(self) -> None:
        import fsspec

        self._fs, root = fsspec.core.url_to_fs(settings().imports)
        self._root = f"{root.rstrip('/')}/{FOLDER}"

    def add(self, request: Request) -> None:
        self._fs.makedirs(self._root, exist_ok=True)
        path = f"{self._root}/{request.asked}-{uuid.uuid4().hex}.json"
        self._fs.pipe_file(path, json.dumps(asdict(request)).encode())
        if Path(path).is_file():  # on a disk of this machine
            Path(path).chmod(0o600)

    def waiting(self) -> dict[str, Request]:
        """Requests by where they are, oldest first."""
        self._fs.invalidate_cache()
        if not self._fs.exists(self._root):
            return {}
        found = {}
        for path in sorted(str(p) for p in self._fs.ls(self._root, detail=False)):
            values = json.loads(self._fs.cat_file(path))
            lists = {name: tuple(values[name]) for name in ("people", "items", "marks")}
            found[path] = Request(asked=values["asked"], media=values["media"], **lists)
        return found

    def remove(self, paths: list[str]) -> None:
        for path in paths:
            self._fs.rm_file(path)


def due(requests: list[Request], params: PrivacyParams, today: date | None = None) -> bool:
    """Whether a batch has to run now."""
    today = today or datetime.now(UTC).date()
    waited = any(today - date.fromisoformat(r.asked) >= timedelta(days=params.wait_days) for r in requests)
    return waited or len(requests) >= params.batch


def late(requests: list[Request], params: PrivacyParams, today: date | None = None) -> list[Request]:
    """Requests that are past their deadline."""
    today = today or datetime.now(UTC).date()
    return [r for r in requests if today > deadline(r, params)]


def deadline(request: Request, params: PrivacyParams) -> date:
    """The last day on which a request may still be open."""
    return date.fromisoformat(request.asked) + timedelta(days=params.deadline_days)
