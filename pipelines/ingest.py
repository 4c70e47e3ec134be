"""Takes what waits in the inbox, makes it the next version of the data, and gets its features ready.

python -m pipelines.ingest take                    append every batch that waits; hands back the run to go on with
python -m pipelines.ingest offer RUN               its data and features may be used from now on
python -m pipelines.ingest announce                ends with 0 when enough is new for a training run, else with 99
python -m pipelines.ingest all                     every step, here and now
python -m pipelines.ingest back SNAPSHOT           an earlier version is current again; later batches may be sent anew
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avrec.datasets.dataset import Dataset
from avrec.datasets.importing import name_in_params
from avrec.datasets.ingest import Appended, append, check_base
from avrec.datasets.ingest_inbox import Inbox, batch_hash
from avrec.datasets.snapshots import open_snapshot
from avrec.errors import DataError, told
from avrec.params import Params, load_params, parse_params
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.settings import settings
from pipelines import git, journal, runs, work
from pipelines.graph import read_stages
from pipelines.journal import Head, Offer
from pipelines.stage import PERMANENT, SKIP, result

ATTEMPTS = 10
TOLD = "announced.json"
Step = Callable[[str], None]


def take(after: Step = lambda step: None) -> Head | None:
    """Appends every batch that waits, one after the other, and returns the version to go on with.

    Args:
        after: Called with the name of each step once it is done; for tests, which end the process there.

    Returns:
        The head of the journal; None where nothing was ever ingested.

    Raises:
        DataError: the current data set cannot be added to.
    """
    inbox = Inbox(settings().inbox)
    for name in inbox.taken():
        inbox.remove(name)
    for name in inbox.ready():
        try:
            with inbox.opened(name) as folder:
                digest = batch_hash(folder)
                after("hashed")
                _take_one(name, folder, digest, after)
        except _Unusable as error:
            inbox.refuse(name, str(error))
            print(f"batch {name} is refused: {error}", flush=True)
            continue
        inbox.take(name, digest)
        after("marked")
        inbox.remove(name)
        after("removed")
    with journal.opened() as book:
        head = book.head
    if head is not None:
        _name(head)
        after("named")
        _start_run(head)
        after("started")
    return head


class _Unusable(DataError):
    """The batch is at fault, not the data set or the machine."""


def _take_one(name: str, folder: Path, digest: str, after: Step) -> None:
    """Makes a batch part of the data, unless it is."""
    for _ in range(ATTEMPTS):
        with journal.opened() as book, tempfile.TemporaryDirectory(prefix="avrec-base-") as scratch:
            params = current_params()
            head = _base(book, params)
            if book.has_batch(head.line, digest):
                print(f"batch {name} ({digest[:12]}) was taken before", flush=True)
                return
            base = open_snapshot(head.snapshot, Path(scratch)) if head.snapshot else None
            if base is not None:
                check_base(base.meta, Pseudonyms.of_home())
            made = _append(base, name, folder, params)
            after("appended")
            new = Head(made.source, made.snapshot, made.as_of, head.line, journal.run_of(made.snapshot), made.totals)
            if book.take(new, digest, _record(name, digest, head, made)):
                after("journalled")
                _say(name, made)
                return
    raise DataError(f"the data moved {ATTEMPTS} times while batch {name} was added; start again.")


def _record(name: str, digest: str, before: Head, made: Appended) -> dict[str, Any]:
    """What the journal keeps of a batch: numbers, and nothing that was in its rows."""
    values = {key: value for key, value in asdict(made).items() if key != "reasons"}
    return {"name": name, "batch": digest, "base": before.snapshot, **values}


def _append(base: Dataset | None, name: str, folder: Path, params: Params) -> Appended:
    print(f"batch {name}", flush=True)
    try:
        return append(base, folder, params.dataset.columns, Pseudonyms.of_home(), params.ingest.max_rejected)
    except DataError as error:
        raise _Unusable(str(error)) from error


def _base(book: journal.Journal, params: Params) -> Head:
    """What a batch is added to: the head, unless an import named something else since.

    The demo has no snapshot: where params.yaml names it, the first batch begins a data set of its own.
    """
    data, head = params.dataset, book.head
    if head is not None and (data.snapshot is None or book.has_snapshot(head.line, data.snapshot)):
        return head
    as_of = data.as_of.isoformat() if data.as_of else None
    if data.snapshot is None:
        return Head("folder", "", None, journal.NEW_LINE, "", {})
    return Head(data.source, data.snapshot, as_of, data.snapshot, "", {})


def _name(head: Head) -> None:
    """Names the version in the project's params.yaml, where there is a working tree."""
    path = Path(settings().repository) / "params.yaml"
    if path.is_file() and load_params(path).dataset.snapshot != head.snapshot:
        name_in_params(path, head.source, head.snapshot, head.as_of)


def _start_run(head: Head) -> None:
    """Makes the run that holds this version; it is there already after a crash."""
    if runs.tip(head.run) is None:
        runs.start_run(head.run, journal.overrides(head))


def current_params() -> Params:
    """params.yaml as a person sees and edits it, else as committed."""
    import yaml

    with runs.temporary_repository() as folder:
        content = runs.params_of(folder, git.fetch(folder, settings().repository, "HEAD"))
    return parse_params(yaml.safe_load(content), "params.yaml")


def stages_of(names: list[str]) -> list[str]:
    """The stages of dvc.yaml that make validated data and features, in their order."""
    return [name for name in names if name in ("dataset", "validate") or name.startswith("features@")]


def offer(run: str) -> Offer:
    """Says that data and features of a run may be used from now on; saying it again changes nothing.

    Raises:
        DataError: it is not the run of the current version.
    """
    for _ in range(ATTEMPTS):
        with journal.opened() as book:
            head, offers = book.head, book.offers
            if found := [one for one in offers if one.run == run]:
                return found[-1]
            if head is None or head.run != run:
                raise DataError(f"{run} is not the run of the current version of the data; a newer one is on its way.")
            made = Offer(run, head.snapshot, head.as_of, head.source, journal.now())
            if book.add(f"Offer {run}\n", {"offers.json": [asdict(one) for one in (*offers, made)]}):
                return made
    raise DataError(f"the journal moved {ATTEMPTS} times while {run} was offered; start again.")


def announce(by: str) -> dict[str, int] | None:
    """How much is new since a training run was last started, if that is enough for one; else None.

    Args:
        by: Who asks. A second question of the same gets the same answer, so that a retry loses nothing.
    """
    for _ in range(ATTEMPTS):
        with journal.opened() as book:
            head, before = book.head, book.read(TOLD) or {}
            if head is None:
                return None
            if before.get("snapshot") == head.snapshot:
                return dict(before["new"]) if before["by"] == by else None
            since = before.get("totals", {}) if before.get("line") == head.line else _begin(book, head)
            new = {name: head.totals.get(name, 0) - since.get(name, 0) for name in ("interactions", "items")}
            wanted = current_params().ingest
            if new["interactions"] < wanted.min_interactions and new["items"] < wanted.min_items:
                return None
            told = {"snapshot": head.snapshot, "line": head.line, "totals": head.totals, "new": new, "by": by}
            if book.add(f"Enough is new: {new}\n", {TOLD: told}):
                return new
    raise DataError(f"the journal moved {ATTEMPTS} times; start again.")


def _begin(book: journal.Journal, head: Head) -> dict[str, int]:
    """Rows of what the line began with: nobody is told of them as new."""
    added: dict[str, int] = {}
    for record in book.batches(head.line):
        for name, count in record["added"].items():
            added[name] = added.get(name, 0) + count
    return {name: total - added.get(name, 0) for name, total in head.totals.items()}


def back_to(snapshot: str) -> Head:
    """Makes an earlier version current again, as the beginning of a new line: no batch counts as taken for it.

    Raises:
        DataError: the current line has no such snapshot.
    """
    for _ in range(ATTEMPTS):
        with journal.opened() as book, tempfile.TemporaryDirectory(prefix="avrec-base-") as scratch:
            head = book.head
            if head is None or not book.has_snapshot(head.line, snapshot):
                known = [str(record["snapshot"]) for record in book.batches(head.line)] if head else []
                raise DataError(f"no version of the data is {snapshot!r}; there are:\n  " + "\n  ".join(known))
            dataset = open_snapshot(snapshot, Path(scratch))
            totals = {name: dataset.table(name).num_rows for name in head.totals if dataset.has(name)}
            made = Head(head.source, snapshot, dataset.meta.as_of, snapshot, journal.run_of(snapshot), totals)
            # params.yaml first: killed in between, it names a version of the old line, and nothing has changed.
            _name(made)
            if book.add(f"Go back to {snapshot}\n", {"head.json": asdict(made)}):
                return made
    raise DataError(f"the journal moved {ATTEMPTS} times; start again.")


def _say(name: str, made: Appended) -> None:
    for title, counts in (("new", made.added), ("told anew", made.updated), ("there already", made.repeated),
                          ("not taken", made.rejected)):  # fmt: skip
        shown = ", ".join(f"{count} {table}" for table, count in counts.items() if count)
        print(f"  {title}: {shown or 'nothing'}", flush=True)
    for reason, count in made.reasons.items():
        print(f"    {count} × {reason}", flush=True)
    print(f"batch {name} is in snapshot {made.snapshot}", flush=True)


def run_take() -> int:
    head = take()
    refused = Inbox(settings().inbox).refused()
    if refused:
        print(f"{len(refused)} refused batch(es) wait for a person: {', '.join(refused)}", flush=True)
    if head is None:
        print(f"Nothing waits in {settings().inbox}.", flush=True)
        return SKIP
    with journal.opened() as book:
        done = any(one.run == head.run for one in book.offers)
    if done:
        print(f"{head.run} is ready; nothing new waits in {settings().inbox}.", flush=True)
        return SKIP
    result({"run": head.run, "snapshot": head.snapshot})
    return 0


def run_offer(run: str) -> int:
    made = offer(run)
    print(f"{made.run}: snapshot {made.snapshot[:12]} may be used since {made.at}", flush=True)
    return 0


def run_announce() -> int:
    new = announce(os.environ.get("AVREC_RUN_ID", "local"))
    if new is None:
        print("Not enough is new for a training run (params.yaml, ingest).", flush=True)
        return SKIP
    print(f"{new['interactions']} interactions and {new['items']} items are new: a training run is due.", flush=True)
    result({"new": new})
    return 0


def everything() -> int:
    """What the DAG does, one step after the other."""
    head = take()
    if head is None:
        print(f"Nothing waits in {settings().inbox}, and nothing was ever ingested.", flush=True)
        return 0
    work.work(head.run, only=stages_of(list(read_stages(Path("dvc.yaml")))))
    run_offer(head.run)
    if run_announce() == 0:
        print("Train on it: avrec train", flush=True)
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.ingest", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("take", "announce", "all"):
        steps.add_parser(name)
    steps.add_parser("offer").add_argument("run")
    steps.add_parser("back").add_argument("snapshot")
    given = parser.parse_args(arguments)
    try:
        if given.step == "offer":
            return run_offer(given.run)
        if given.step == "back":
            print(f"{back_to(given.snapshot).snapshot} is current again. Next: avrec data ingest", flush=True)
            return 0
        return {"take": run_take, "announce": run_announce, "all": everything}[given.step]()
    except Exception as error:
        return told("ingest", error, PERMANENT if given.step == "offer" else 1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
