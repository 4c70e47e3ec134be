"""Makes the page of a publication: `python -m pipelines.page PUBLICATION [--people 8]`.

It shows for sampled people what they watched beside what they get and why. It lies in the home's reports and is an
input of nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from avrec.datasets.dataset import Dataset
from avrec.errors import told
from avrec.params import LimitsParams
from avrec.recommend.filters import end_of
from avrec.recommend.page import Entry, ItemCard, Person, render_page, watched_entry
from avrec.recommend.plan import Plan, read_plan
from avrec.recommend.publication import Publisher
from avrec.recommend.recipe import DEFAULT_USER
from avrec.recommend.thumbnails import thumbnails
from avrec.settings import settings
from pipelines.recommend import VALID
from pipelines.scratch import Checkout, scratch
from pipelines.stage import result

PEOPLE, WATCHED, LISTED = 8, 6, 12

_SAMPLE = """
    with people as (
      select user_id, count(*) as seen, min(file_row_number) as first_row
      from read_parquet(?, file_row_number=true)
      where "timestamp" is null or "timestamp" < ?::timestamptz
      group by user_id
    )
    select user_id, seen from people order by hash(first_row), first_row limit ?
"""

_WATCHED = """
    select item_id, label from read_parquet(?, file_row_number=true)
    where user_id = ? and ("timestamp" is null or "timestamp" < ?::timestamptz)
    order by "timestamp" desc nulls last, file_row_number desc
"""


def make(publication_id: str, people: int = PEOPLE) -> str:
    """Writes the page and returns its address."""
    publisher = Publisher.of_settings()
    made = read_plan(publisher.store, publication_id)
    with scratch(made.data_run, "recommend-page") as here:
        here.pull([VALID.as_posix()])
        dataset = Dataset(here.folder / VALID)
        shown = [*sample(publisher, made, dataset, people), _person(publisher, made, DEFAULT_USER, [], 0)]
        cards = item_cards(here, dataset, shown)
    publication = publisher.tables.find(publication_id)
    text = render_page(made, publication.row_count if publication else 0, shown, cards)
    return _write(made, text).as_uri()


def sample(publisher: Publisher, made: Plan, dataset: Dataset, people: int) -> list[Person]:
    """The same people whenever the page is made again, however their pseudonyms were keyed."""
    import duckdb

    path, until = str(dataset.path("interactions")), end_of(made.recipe.run_date)
    connection = duckdb.connect()
    chosen = connection.execute(_SAMPLE, [path, until, people]).fetchall()
    found = []
    for user, seen in chosen:
        past = connection.execute(_WATCHED, [path, user, until]).fetchall()
        newest = list(dict.fromkeys(past))[:WATCHED]
        found.append(_person(publisher, made, user, [watched_entry(item, label) for item, label in newest], seen))
    return found


def _person(publisher: Publisher, made: Plan, user: str, watched: list[Entry], seen: int) -> Person:
    rows = publisher.tables.rows(made.publication_id, user).slice(0, LISTED).to_pylist()
    gets = [
        Entry(row["item_id"], score=row["score"], reason_kind=row["reason_kind"], reason_item_id=row["reason_item_id"])
        for row in rows
    ]
    return Person(user, watched, seen, gets)


def item_cards(here: Checkout, dataset: Dataset, people: list[Person]) -> dict[str, ItemCard]:
    """Cards of every item the page names; only their media are fetched."""
    entries = [entry for person in people for entry in (*person.watched, *person.recommended)]
    wanted = dict.fromkeys([e.item_id for e in entries] + [e.reason_item_id for e in entries if e.reason_item_id])
    items = dataset.table("items")
    items = items.filter(pc.is_in(items["item_id"], value_set=pa.array(list(wanted), pa.string())))
    root = dataset.meta.media_root
    if root and not Path(root).is_absolute() and "://" not in root:
        here.pull([f"{root}/{uri}" for uri in items["media_uri"].to_pylist() if uri])
        root = str(here.folder / root)
    pictures = thumbnails(items, root, LimitsParams())
    return {row["item_id"]: _card(row, pictures[row["item_id"]]) for row in items.to_pylist()}


def _card(row: dict[str, Any], picture: str) -> ItemCard:
    links = {"creator": (row["creator_id"],), "category": (row["category"],), "tag": row["tags"] or ()}
    return ItemCard(
        row["title"] or row["item_id"], row["category"] or "no category", row["media_type"], picture,
        {kind: tuple(name for name in names if name) for kind, names in links.items()},
    )  # fmt: skip


def _write(made: Plan, text: str) -> Path:
    folder = settings().reports / "recommendations" / made.recipe.run_date.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / ".index.html.part"
    aside.write_text(text, encoding="utf-8")
    return aside.replace(folder / "index.html")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.page", description=__doc__)
    parser.add_argument("publication")
    parser.add_argument("--people", type=int, default=PEOPLE)
    given = parser.parse_args(arguments)
    try:
        address = make(given.publication, given.people)
    except Exception as error:
        return told("page", error)
    print(f"page: {address}", flush=True)
    result({"page": address})
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
