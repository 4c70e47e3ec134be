"""Validates a staged table, and puts it in force.

python -m pipelines.publish validate PUBLICATION
python -m pipelines.publish publish PUBLICATION [--while-champion]
python -m pipelines.publish all --date 2026-03-01 [--version 3] [--data RUN] [--until INSTANT]   every step, now
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, date, datetime

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError, told
from avrec.recommend.filters import end_of
from avrec.recommend.plan import Plan, read_plan
from avrec.recommend.publication import Publisher
from avrec.settings import settings
from pipelines import inside, page, recommend
from pipelines.recommend import VALID, VISUAL
from pipelines.scratch import scratch
from pipelines.stage import PERMANENT, SKIP, result


def validate(publication_id: str) -> list[str]:
    """Checks the staged table against the data set and seals it; returns warnings.

    Raises:
        DataError: something does not hold; the table in force stays.
    """
    from avrec.recommend.catalogs import unsafe_of
    from avrec.recommend.checks import validate_table
    from avrec.validation.docs import render

    publisher = Publisher.of_settings()
    made = read_plan(publisher.store, publication_id)
    if publisher.complete(made):
        return []
    folder = settings().reports / "recommendations" / made.recipe.run_date.isoformat() / "validation"
    results = folder / "results.json"
    results.unlink(missing_ok=True)
    try:
        with scratch(made.data_run, "recommend-validate") as here:
            here.pull([VALID.as_posix()])
            dataset, unsafe = Dataset(here.folder / VALID), None
            if made.recipe.max_unsafe is not None:
                here.pull([VISUAL.as_posix()])
                unsafe = unsafe_of(here.folder / VISUAL, dataset.table("items")["item_id"].to_pylist())
            warnings = validate_table(made, publisher.staged(made), dataset, results, unsafe)
    finally:
        if results.is_file():
            print(f"data docs: {render(results, folder)}", flush=True)
    publisher.seal(made)
    return warnings


def publish(publication_id: str, while_champion: bool) -> bool | None:
    """Puts a validated table in force; True if that changed anything.

    Args:
        publication_id: Which.
        while_champion: Leave it when another version became the champion meanwhile, and return None: its own run
            publishes, and a slow run of the earlier one must not undo that.
    """
    publisher = Publisher.of_settings()
    made = read_plan(publisher.store, publication_id)
    if while_champion:
        champion = recommend.find_model("champion")
        if champion is None or champion.version != made.model_version:
            return None
    return publisher.publish(made)


def everything(run_date: date, version: str, data_run: str | None, until: datetime | None = None) -> int:
    """What the DAG does, one step after the other. A day that is over is made with the champion and data of then."""
    if until is None and version == recommend.CHAMPION and end_of(run_date) <= datetime.now(UTC):
        version, data_run, until = then(run_date, data_run)
    made = recommend.plan(run_date, version, data_run, until)
    if made is None:
        print("There is no champion yet; name a version with --version.", flush=True)
        return 1
    for command in recommend.commands(made):
        if inside.main(command):
            return 1
    _say_validated(made.publication_id)
    _say_published(made, publish(made.publication_id, while_champion=False))
    print(f"page: {page.make(made.publication_id)}", flush=True)
    return 0


def then(run_date: date, data_run: str | None) -> tuple[str, str | None, datetime | None]:
    """What an earlier day is made with: version, run with the data, and the instant both are as of.

    Where a table is in force for that day: what it was made with. Before the first champion: what there is now.
    """
    until = end_of(run_date)
    if recommend.champion_at(until) is None:
        print(f"There was no champion on {run_date}: the one of now is taken, with the newest data.", flush=True)
        return recommend.CHAMPION, data_run, None
    found = Publisher.of_settings().tables.current(run_date)
    if found is not None:
        print(f"As {found.id}, which is in force for {run_date}; --version makes another one.", flush=True)
        return found.model_version, data_run or found.plan.data_run, None
    print(f"Champion and data as of {until.isoformat()}", flush=True)
    return recommend.CHAMPION, data_run, until


def _say_validated(publication_id: str) -> None:
    for warning in validate(publication_id):
        print(f"warning: {warning}", flush=True)
    print(f"{publication_id}: valid", flush=True)


def _say_published(made: Plan, changed: bool | None) -> None:
    if changed is None:
        print(
            f"{made.publication_id}: version {made.model_version} is not the champion any more; left alone", flush=True
        )
        return
    state = "is in force" if changed else "was in force already; nothing changed"
    print(f"{made.publication_id} for {made.recipe.run_date} {state}", flush=True)
    result({"publication": made.publication_id, "changed": changed})


def run(given: argparse.Namespace) -> int:
    if given.step == "validate":
        _say_validated(given.publication)
        return 0
    if given.step == "all":
        return everything(given.date, given.version, given.data, given.until)
    changed = publish(given.publication, given.while_champion)
    _say_published(read_plan(Publisher.of_settings().store, given.publication), changed)
    return SKIP if changed is None else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.publish", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("validate", "publish"):
        step = steps.add_parser(name)
        step.add_argument("publication")
    step.add_argument("--while-champion", action="store_true")
    whole = steps.add_parser("all")
    whole.add_argument("--date", type=date.fromisoformat, required=True)
    whole.add_argument("--version", default="champion")
    whole.add_argument("--data", default=None)
    whole.add_argument("--until", type=recommend.instant, default=None, help="champion and data as of this instant")
    try:
        return run(parser.parse_args([argument for argument in arguments if argument]))  # an empty form field
    except Exception as error:
        return told("publish", error, PERMANENT if isinstance(error, DataError) else 1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
