"""What the data set is made of, batch by batch: the git ref `refs/avrec/data`, moved by compare-and-swap.

One commit says at once that a batch was taken and which snapshot holds it, so that a batch counts exactly once however
often anything is killed or done again. A line of snapshots begins with an import (or with nothing); every import begins
a new one. The journal also remembers which run holds each version's data and features, and since when: what a table of
an earlier day may be made from.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from avrec.settings import settings
from pipelines import git, runs

REF = "refs/avrec/data"
NEW_LINE = "empty"


@dataclass(frozen=True)
class Head:
    """The current version of the data.

    Attributes:
        source, snapshot, as_of: What params.yaml names under `dataset`.
        line: Snapshot the line began with; `empty` where it began with a batch.
        run: Run that holds its validated data and features, once that is done.
        totals: Rows by table.
    """

    source: str
    snapshot: str
    as_of: str | None
    line: str
    run: str
    totals: Mapping[str, int]


@dataclass(frozen=True)
class Offer:
    """A version whose data and features are there.

    Attributes:
        run: Run that holds them.
        snapshot, as_of, source: As in `Head`.
        at: ISO instant since when it may be used.
    """

    run: str
    snapshot: str
    as_of: str | None
    source: str
    at: str


class Journal:
    """The ref as it was when it was opened."""

    def __init__(self, folder: Path, commit: str | None) -> None:
        self.folder, self.commit = folder, commit

    @property
    def head(self) -> Head | None:
        values = self.read("head.json")
        return Head(**values) if values else None

    @property
    def offers(self) -> list[Offer]:
        return [Offer(**values) for values in self.read("offers.json") or []]

    def has_batch(self, line: str, digest: str) -> bool:
        return self._has(f"lines/{line}/batches/{digest}.json")

    def has_snapshot(self, line: str, snapshot: str) -> bool:
        """Whether a snapshot is one of a line's earlier or later ones."""
        return snapshot == line or self._has(f"lines/{line}/snapshots/{snapshot}")

    def batches(self, line: str) -> list[dict[str, Any]]:
        """The records of every batch of a line, in the order they were taken."""
        if self.commit is None:
            return []
        names = git.text(self.folder, "ls-tree", "--name-only", self.commit, f"lines/{line}/batches/").splitlines()
        found = [json.loads(git.show(self.folder, self.commit, name)) for name in names]
        return sorted(found, key=lambda record: str(record["at"]))

    def read(self, name: str) -> Any:
        """A JSON file of the journal; None where there is none."""
        return json.loads(git.show(self.folder, self.commit, name)) if self.commit and self._has(name) else None

    def add(self, message: str, files: Mapping[str, Any]) -> bool:
        """Writes JSON files in one step; False where another process was faster: open it again."""
        contents = {n: (json.dumps(v, indent=1, sort_keys=True) + "\n").encode() for n, v in files.items()}
        old = self.commit or git.NOTHING
        new = git.commit_files(self.folder, self.commit or _root(self.folder), contents, message)
        if not git.swap(self.folder, settings().repository, REF, old, new):
            return False
        self.commit = new
        return True

    def take(self, head: Head, digest: str, record: Mapping[str, Any]) -> bool:
        """Says that a batch is in `head`: the one step that counts. False where the journal moved meanwhile."""
        line = f"lines/{head.line}"
        files = {"head.json": asdict(head), f"{line}/batches/{digest}.json": {**record, "at": now()},
                 f"{line}/snapshots/{head.snapshot}": head.as_of}  # fmt: skip
        return self.add(f"Take batch {record['name']}\n\nAvrec-Batch: {digest}\n", files)

    def _has(self, path: str) -> bool:
        return self.commit is not None and git.has_file(self.folder, self.commit, path)


@contextmanager
def opened() -> Iterator[Journal]:
    """The journal as it is now; empty before the first batch."""
    found = git.read_refs(settings().repository, REF)
    with runs.temporary_repository() as folder:
        yield Journal(folder, git.fetch(folder, settings().repository, REF) if REF in found else None)


def overrides(head: Head) -> dict[str, Any]:
    """The section `dataset` of params.yaml for a version."""
    return {"dataset.source": head.source, "dataset.snapshot": head.snapshot, "dataset.as_of": head.as_of}


def offered(until: datetime | None = None) -> Offer | None:
    """The newest version that could be used at an instant, by default now; None where none was ingested by then."""
    with opened() as journal:
        found = [one for one in journal.offers if until is None or datetime.fromisoformat(one.at) <= until]
    return found[-1] if found else None


def forget(renamed: Mapping[str, str], dropped: Collection[str]) -> None:
    """After an erasure: snapshots that were written anew go by their new names, runs that are gone are not offered.

    Args:
        renamed: Old name of a snapshot to its new one.
        dropped: Names of the runs that were removed.
    """
    while True:
        with opened() as book:
            head, offers = book.head, book.offers
            kept = [one for one in offers if one.run not in dropped]
            files: dict[str, Any] = {"offers.json": [asdict(one) for one in kept]} if kept != offers else {}
            if head is not None and head.snapshot in renamed:
                new = renamed[head.snapshot]
                files["head.json"] = asdict(replace(head, snapshot=new, run=run_of(new)))
                files[f"lines/{head.line}/snapshots/{new}"] = head.as_of
            if not files or book.add("Follow an erasure\n", files):
                return


def run_of(snapshot: str) -> str:
    """Name of the run that holds a version's data and features."""
    return f"data-{snapshot[:12]}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _root(folder: Path) -> str:
    tree = git.git(folder, "hash-object", "-t", "tree", "-w", "--stdin", feed=b"").decode().strip()
    return git.git(folder, "commit-tree", tree, feed=b"Begin\n").decode().strip()
