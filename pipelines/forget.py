"""Makes people and items disappear from everything that is stored (docs/erase.md says where and in which order).

python -m pipelines.forget USER | --item ID     a request, carried out now with all that wait
python -m pipelines.forget USER --later         only collected
python -m pipelines.forget --due                what waits, if a batch is due
python -m pipelines.forget --reapply            all receipts again: after a backup was restored
python -m pipelines.forget --scan MARK...       where a text is still stored

Every step may be repeated; requests and receipts are closed last, so that a run that was killed is simply run again.
"""

from __future__ import annotations

import argparse
import fcntl
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from avrec.errors import DataError, PlatformError, told
from avrec.params import Params, load_params
from avrec.privacy.pseudonyms import DEMO_KEY, LENGTH, Pseudonyms
from avrec.privacy.receipts import Receipts, Subjects
from avrec.privacy.requests import Request, Requests, deadline, due, late
from avrec.privacy.traces import Redaction, remove_old, sqlite_files
from avrec.settings import settings
from pipelines import erasing, gc, journal
from pipelines.scratch import busy
from pipelines.stage import SKIP, result

PSEUDONYM = re.compile(rf"u[0-9a-f]{{{LENGTH}}}")


def request_of(user: str | None, item: str | None, media: bool) -> Request:
    """A request for a person (raw id or pseudonym) or an item."""
    today = datetime.now(UTC).date().isoformat()
    if user is None:
        return Request((), (str(item),), (), today, media)
    if PSEUDONYM.fullmatch(user):
        return Request((user,), (), (), today, media)
    people = tuple(names.of(user) for names in (Pseudonyms.of_home(), Pseudonyms(DEMO_KEY)))
    return Request(people, (), (user,), today, media)


def carry_out(requests: list[Request], params: Params) -> dict[str, Any]:
    """Erases what the requests and all earlier receipts name, everywhere; returns how much was found where.

    Raises:
        PlatformError: a stage or another erasure is running on this machine, or a database stays locked.
        DataError: a run's data cannot be looked through.
    """
    if busy():
        raise PlatformError(f"a stage is running ({settings().scratch} is in use); erase when it is done.")
    with _alone():
        return _carry_out(requests, params)


@contextmanager
def _alone() -> Iterator[None]:
    """Two erasures at once would each write receipts that do not know of the other's."""
    path = settings().home / "forget.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlatformError("another erasure is running on this machine; run this when it is done.") from error
        yield


def _carry_out(requests: list[Request], params: Params) -> dict[str, Any]:
    receipts = Receipts.of_settings()
    people = [person for request in requests for person in request.people]
    items = [item for request in requests for item in request.items]
    receipts.add(people, items, min((r.asked for r in requests), default=""))
    subjects = receipts.subjects()
    said = erase(subjects, requests, params)
    for batch in receipts.unfinished():
        receipts.done(batch, said)
    return said


def erase(subjects: Subjects, requests: list[Request], params: Params) -> dict[str, Any]:
    """The steps, in the order of docs/erase.md."""
    kept = params.privacy.retention
    snapshots = erasing.snapshots(subjects, kept.events)
    erasing.rename_in_params(snapshots, subjects)
    held = erasing.runs_that_hold(subjects, snapshots)
    revoked = erasing.revoke(subjects, held)
    published = erasing.published(subjects, held, kept.publications)
    tree = erasing.working_tree(subjects)
    erasing.remove_snapshots(snapshots)
    old = erasing.old_runs(kept.runs) if kept.runs else []
    erasing.drop_runs([*held.runs, *old])
    journal.forget(snapshots.renamed, [*held.runs, *old])
    gc.collect(cloud=True, quiet=True)  # also where no ref was dropped: a restored remote holds what no ref names
    media = {**held.media, **snapshots.media}
    features = erasing.features(media, params)
    erasing.caches(published.days if published.rows else set(), bool(held.runs or tree), bool(media))
    left = erasing.outside_media(media, any(request.media for request in requests))
    marks = [mark for request in requests for mark in request.marks]
    erasing.waiting_batches(marks)
    traces = _traces(subjects, marks, kept.logs)
    for path in left:
        print(f"still there, in the folder it was imported from: {path} (--media deletes such files too)", flush=True)
    return {
        "people": len(held.people | snapshots.people), "items": len(media), "snapshots": len(snapshots.renamed),
        "runs": len(held.runs), "versions_revoked": len(revoked.versions), "champion_revoked": revoked.champion,
        "mlflow_runs": len(revoked.runs), "published_rows": published.rows, "features": features, **traces,
    }  # fmt: skip


def _traces(subjects: Subjects, marks: list[str], log_days: int | None) -> dict[str, int]:
    home = settings().home
    logs = [folder for folder in (settings().logs, home / "airflow" / "logs") if folder.is_dir()]
    redaction = Redaction(subjects, marks)
    return {
        "logs_removed": remove_old(logs, log_days) if log_days else 0,
        "logs": redaction.files(logs),
        "database_rows": redaction.databases(sqlite_files(home)) if home.is_dir() else 0,
    }


def places() -> list[str]:
    """Where a trace can be: every folder and store of this home's settings, and the project's data."""
    s = settings()
    stores = [
        str(s.home),
        s.dvc_remote,
        str(s.dvc_cache),
        s.feature_store,
        s.imports,
        s.inbox,
        s.media,
        s.publications,
        s.receipts,
        str(s.scratch),
    ]
    tree = [str(Path(s.repository) / name) for name in ("data", "artifacts", ".git/refs", ".git/logs")]
    return [p for p in dict.fromkeys([*stores, *tree]) if p == str(s.home) or not p.startswith(f"{s.home}/")]


def scan(marks: list[str]) -> int:
    """Prints where texts are stored; 0 when nowhere. A person is also looked for under the pseudonym."""
    from avrec.privacy.scan import Scanner

    hits = Scanner(marks).folders(places())
    for hit in hits:
        print(f"{hit.mark}: {hit.where}", flush=True)
    print(f"{len(hits)} places hold one of {len(marks)} text(s); looked through {', '.join(places())}", flush=True)
    return 1 if hits else 0


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    try:
        return _run(given)
    except Exception as error:
        return told("forget", error)


def _run(given: argparse.Namespace) -> int:
    if given.scan:
        return scan(given.scan)
    edited = Path(settings().repository) / "params.yaml"
    params, waiting = load_params(edited if edited.is_file() else "params.yaml"), Requests()
    if given.user or given.item:
        asked = request_of(given.user, given.item, given.media)
        waiting.add(asked)
        if given.later:
            print(f"collected; it will be done by {deadline(asked, params.privacy)}: `avrec forget --due`", flush=True)
            return 0
    found = waiting.waiting()
    requests = list(found.values())
    for request in late(requests, params.privacy):
        print(f"LATE: a request of {request.asked} was due on {deadline(request, params.privacy)}", flush=True)
    if given.due and not due(requests, params.privacy) and not Receipts.of_settings().unfinished():
        print(f"{len(requests)} request(s) wait; no batch is due.", flush=True)
        return SKIP
    if not (requests or given.reapply or given.due):
        raise DataError("name a USER or an --item, or say --due, --reapply or --scan MARK.")
    said = carry_out(requests, params)
    waiting.remove(list(found))
    _say(said)
    return 0


def _say(said: dict[str, Any]) -> None:
    for name, value in said.items():
        print(f"  {name.replace('_', ' ')}: {value}", flush=True)
    if said["champion_revoked"]:
        print("The champion had learned from what was erased and is revoked. Train again and approve.", flush=True)
    print(f"done; receipts are in {settings().receipts}", flush=True)
    result(said)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="avrec forget", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("user", nargs="?", help="raw id or pseudonym")
    parser.add_argument("--item", help="id of a video or another item")
    parser.add_argument("--media", action="store_true", help="also delete the files in the folder they came from")
    parser.add_argument("--later", action="store_true", help="only collect the request")
    parser.add_argument("--due", action="store_true", help="carry out what waits, if a batch is due")
    parser.add_argument("--reapply", action="store_true", help="erase again what the receipts name")
    parser.add_argument("--scan", nargs="+", metavar="MARK", help="where texts are stored; exit code 1 if anywhere")
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
