"""Receipts of erasures: keyed hashes that recognise a person or an item when a backup or a new file brings it back.

A batch is one small JSON file, written once and before anything is erased, so that an import at the same time leaves
its people out already; a second file beside it says when it was done and how much was found where. Without the key of
this home nobody can tell who is meant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from avrec.errors import DataError
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.settings import settings


@dataclass(frozen=True)
class Subjects:
    """Who and what is erased, as keyed hashes.

    Attributes:
        people: Hashes of pseudonyms.
        items: Hashes of item ids.
        names: The key.
    """

    people: frozenset[str]
    items: frozenset[str]
    names: Pseudonyms

    @property
    def fingerprint(self) -> str:
        """Names exactly this set; 16 hex digits."""
        text = "\n".join([*sorted(self.people), "", *sorted(self.items)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __bool__(self) -> bool:
        return bool(self.people or self.items)

    def people_in(self, pseudonyms: Iterable[str | None]) -> list[str]:
        """Those of some pseudonyms that are erased."""
        if not self.people:
            return []
        return [p for p in pseudonyms if p and self.names.receipt("person", p) in self.people]

    def items_in(self, item_ids: Iterable[str | None], creators: Iterable[str | None] = ()) -> list[str]:
        """Those of some items that are erased, themselves or as the work of an erased person.

        Args:
            item_ids: The items.
            creators: Their creators' raw ids, in the same order; none where nobody asks.
        """
        known: dict[str, bool] = {}

        def by_erased(creator: str | None) -> bool:
            if not creator or not self.people:
                return False
            if creator not in known:
                known[creator] = bool(self.people_in([self.names.of(creator), creator]))
            return known[creator]

        ids = list(item_ids)
        makers = list(creators) or [None] * len(ids)
        return [
            item
            for item, creator in zip(ids, makers, strict=True)
            if item and (self.names.receipt("item", item) in self.items or by_erased(creator))
        ]


class Receipts:
    """The receipts of `AVREC_RECEIPTS`.

    Example:
        ```python
        receipts = Receipts.of_settings()
        batch = receipts.add(people=["u12..."], items=[], asked="2026-03-01")
        receipts.subjects().people_in(["u12..."])  # ["u12..."]
        receipts.done(batch, {"snapshots": 1})
        ```
    """

    def __init__(self, url: str, names: Pseudonyms | None = None) -> None:
        import fsspec

        self.url = url
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._names = names

    @classmethod
    def of_settings(cls) -> Receipts:
        return cls(settings().receipts)

    @property
    def names(self) -> Pseudonyms:
        """The key of this home; asked for late, so that a home without receipts needs none."""
        return self._names or Pseudonyms.of_home()

    def add(self, people: Sequence[str], items: Sequence[str], asked: str) -> str:
        """Writes a batch down and returns its name; one that adds nothing new gets none (empty).

        Args:
            people: Pseudonyms.
            items: Item ids.
            asked: Day of the oldest request, ISO.
        """
        names, before = self.names, self.subjects()
        hashes = (
            {names.receipt("person", p) for p in people} - before.people,
            {names.receipt("item", i) for i in items} - before.items,
        )
        if not any(hashes):
            return ""
        after = Subjects(before.people | hashes[0], before.items | hashes[1], names)
        name = f"{len(self._batches()):06d}-{after.fingerprint}"
        self._write(name, {
            "people": sorted(hashes[0]), "items": sorted(hashes[1]), "asked": asked,
            "begun": _today(), "key_fingerprint": names.fingerprint,
        })  # fmt: skip
        return name

    def done(self, batch: str, found: dict[str, Any]) -> None:
        """Says that a batch was carried out, and how much was found where: numbers, no names."""
        self._write(f"{batch}.done", {"done": _today(), "found": found})

    def unfinished(self) -> list[str]:
        """Batches that were begun and not carried out to the end."""
        return [name for name in self._batches() if not self._fs.exists(self._path(f"{name}.done"))]

    def subjects(self, fingerprint: str | None = None) -> Subjects:
        """Everything erased so far, or up to the batch whose fingerprint is named.

        Raises:
            DataError: no such batch here, or one that was made under another key.
        """
        people: set[str] = set()
        items: set[str] = set()
        batches = self._batches()
        for name in batches:
            values = self._read(name)
            people |= set(values["people"])
            items |= set(values["items"])
            if values["key_fingerprint"] != self.names.fingerprint:
                raise DataError(
                    f"{self._path(name)} was made under key {values['key_fingerprint']}, this home has "
                    f"{self.names.fingerprint}: nobody can be recognised without the old key. Restore pseudonym.key."
                )
            if fingerprint and name.endswith(f"-{fingerprint}"):
                break
        else:
            if fingerprint:
                raise DataError(
                    f"params.yaml: dataset.erased names receipts {fingerprint}, which {self.url} does not hold; it has "
                    f"{[name[-16:] for name in batches]}. Point AVREC_RECEIPTS at the store that has them."
                )
        return Subjects(frozenset(people), frozenset(items), self.names) if batches else Subjects(
            frozenset(), frozenset(), Pseudonyms(b""))  # fmt: skip

    def _batches(self) -> list[str]:
        self._fs.invalidate_cache()
        if not self._fs.exists(self._root):
            return []
        names = [str(path).rsplit("/", 1)[-1] for path in self._fs.ls(self._root, detail=False)]
        return sorted(n.removesuffix(".json") for n in names if n.endswith(".json") and not n.endswith(".done.json"))

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}.json"

    def _read(self, name: str) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self._fs.cat_file(self._path(name)))
        return values

    def _write(self, name: str, values: dict[str, Any]) -> None:
        self._fs.makedirs(self._root, exist_ok=True)
        aside = f"{self._root.rstrip('/')}/.{name}.part"
        self._fs.pipe_file(aside, (json.dumps(values, indent=2, sort_keys=True) + "\n").encode())
        self._fs.mv(aside, self._path(name))


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
