"""The demo's world going on, a day at a time: what a batch of day D holds, published lists and mishaps included.

Catalogue, taste and behaviour are the demo's own, drawn once for the whole period and not changed here. What is new is
that people are also shown what was published for them, so that a table has an effect which can be measured, and that a
day's feed can be damaged on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from avrec.datasets.demo.behaviour import DAY, SHOWN, Session, Simulation
from avrec.datasets.demo.catalogue import Catalogue, Ints, Reals, make_catalogue, words
from avrec.datasets.demo.render import clips_of, render_all
from avrec.datasets.demo.taste import Taste, make_taste
from avrec.datasets.demo.words import CATEGORIES

Row = dict[str, Any]

FROM_LIST = 4
"""Positions of a session, of `SHOWN`, that the published list fills, its first items on top."""

MISHAPS = ("drift", "units", "catalogue")
"""What can be wrong with a day: everybody's watched share falls to a third (`drift`), the feed tells milliseconds where
the share was agreed (`units`), or an export tells all items anew with the media and the words of others (`catalogue`),
every row of it valid."""


class _People(Simulation):
    """The demo's people, who are shown lists too, and stop at any moment to go on later.

    Attributes:
        joined: When everyone joined, in days after the begin `[n_users]`.
    """

    def __init__(self, catalogue: Catalogue, taste: Taste, days: int, seed: int, per_user: float) -> None:
        super().__init__(catalogue, taste, days, seed)
        self.joined, self._to_come = self._sessions(per_user)
        self._lists: Mapping[int, Sequence[int]] = {}
        self._publication: str | None = None

    def live(self, until: float, lists: Mapping[int, Sequence[int]], publication: str | None) -> None:
        """Plays the sessions that begin before `until`, in seconds after the begin."""
        self._lists, self._publication = lists, publication
        while self._to_come and self._to_come[0].start < until:
            self._play(self._to_come.pop(0))

    def _play(self, session: Session) -> None:
        """As ever; what was shown from the list names the table it is from."""
        told = len(self.log.impressions)
        super()._play(session)
        listed = set(self._lists.get(session.user, ()))
        for row in self.log.impressions[told:]:
            row["publication_id"] = self._publication if row["item"] in listed else None

    def _slate(self, user: int, day: float, affinity: Reals) -> Ints:
        """The list's first unseen items on top, below them what the person finds by themselves."""
        found = [int(item) for item in super()._slate(user, day, affinity)]
        out = self.catalogue.published < day
        top = [item for item in self._lists.get(user, ()) if out[item] and not self.seen[user, item]][:FROM_LIST]
        return np.asarray((top + [item for item in found if item not in top])[:SHOWN], np.int64)


@dataclass(frozen=True)
class Lists:
    """What is published.

    Attributes:
        publication_id: Id of the table.
        of: Item ids by raw user id, best first.
    """

    publication_id: str
    of: Mapping[str, Sequence[str]]


class LiveDemo:
    """A demo world of which `before` days are history and `days` are still to come.

    Args:
        items, users, per_user, seed: As `dataset.demo` has them; `per_user` interactions over the whole period.
        before: Days of history.
        days: Days to come; the newest items appear during them.
        start: Begin of the first day to come (UTC, midnight).

    Example:
        ```python
        march = datetime(2026, 3, 1, tzinfo=UTC)
        world = LiveDemo(items=60, users=80, per_user=30.0, seed=7, before=30, days=7, start=march)
        world.write(inbox / "history")  # everything before
        world.write(inbox / "day-1", lists)  # one day more, in which people are shown `lists`
        ```
    """

    def __init__(
        self, *, items: int, users: int, per_user: float, seed: int, before: int, days: int, start: datetime
    ) -> None:
        self.catalogue = make_catalogue(items, before + days, seed)
        self.begin = start.astimezone(UTC) - timedelta(days=before)
        self._texts = words(self.catalogue, seed)
        taste = make_taste(self.catalogue, users, seed)
        self._people = _People(self.catalogue, taste, before + days, seed, per_user)
        # Days after `begin`: what was written last begins and ends there, what is next ends there.
        self._last, self._told, self._next = -np.inf, -np.inf, float(before)
        self._seed = seed

    @property
    def today(self) -> datetime:
        """End of what is written next (UTC)."""
        return self.begin + timedelta(days=self._next)

    def user(self, index: int) -> str:
        """Raw id of a person."""
        return f"viewer-{index:04d}"

    def write(self, folder: Path, lists: Lists | None = None, mishap: str | None = None) -> dict[str, int]:
        """Lives until `today` and writes what is new as a batch, `_READY` last; the next call writes the day after.

        Args:
            folder: A new folder.
            lists: What people are shown on top of what they find themselves.
            mishap: One of `MISHAPS`, or None.

        Returns:
            Rows by table.

        Raises:
            ValueError: no such mishap.
        """
        if mishap not in (None, *MISHAPS):
            raise ValueError(f"mishap is {mishap!r}; expected one of {MISHAPS} or None.")
        self._live(self._next, lists)
        self._last, self._told, self._next = self._told, self._next, self._next + 1.0
        return self._write(folder, mishap)

    def write_again(self, folder: Path) -> dict[str, int]:
        """Writes what was written last once more, undamaged: what is sent after a mishap was noticed."""
        return self._write(folder, None)

    def _write(self, folder: Path, mishap: str | None) -> dict[str, int]:
        since, until = self._last, self._told
        folder.mkdir(parents=True)
        tables = {"items": self._items(since, until, folder, mishap), "users": self._users(since, until)}
        tables |= {
            name: self._events(name, since, until, mishap) for name in ("interactions", "impressions", "comments")
        }
        for name, rows in tables.items():
            if rows:
                pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
        (folder / "_READY").touch()
        return {name: len(rows) for name, rows in tables.items()}

    def _live(self, until: float, lists: Lists | None) -> None:
        index = {self.catalogue.item_id(i): i for i in range(len(self.catalogue))}
        people = range(len(self._people.joined))
        shown = {u: [index[item] for item in lists.of.get(self.user(u), ())] for u in people} if lists else {}
        self._people.live(until * DAY, shown, lists.publication_id if lists else None)

    def _items(self, since: float, until: float, folder: Path, mishap: str | None) -> list[Row]:
        """Items that appear, with their media below `folder/clips`; all there are, mixed up, after `catalogue`."""
        published = self.catalogue.published
        told = [i for i in range(len(published)) if (since <= published[i] or mishap == "catalogue")
                and published[i] < until]  # fmt: skip
        of = dict(zip(told, told, strict=True))
        if mishap == "catalogue":
            of = dict(zip(told, np.random.default_rng([self._seed, 5]).permutation(told).tolist(), strict=True))
        clips = clips_of(self.catalogue, folder / "clips")
        render_all([clips[i] for i in told])
        return [
            {
                "item_id": self.catalogue.item_id(i),
                "published_at": self._instant(float(published[i]) * DAY),
                **self._described(of[i]),
            }
            for i in told
        ]

    def _described(self, index: int) -> Row:
        """What is said of an item, and its file."""
        return {
            "media_type": "music" if self.catalogue.sound_only[index] else "video",
            **self._texts[index],
            "category": CATEGORIES[self.catalogue.topic[index]],
            "creator_id": f"creator-{self.catalogue.creator[index]:02d}",
            "media_uri": f"clips/{self.catalogue.media_uri(index)}",
        }

    def _users(self, since: float, until: float) -> list[Row]:
        return [
            {"user_id": self.user(i), "joined_at": self._instant(float(day) * DAY)}
            for i, day in enumerate(self._people.joined)
            if since <= day < until
        ]

    def _events(self, name: str, since: float, until: float, mishap: str | None) -> list[Row]:
        """What happened in between; what a session of today does after midnight is in the next batch."""
        rows = [row for row in getattr(self._people.log, name) if since * DAY <= row["at"] < until * DAY]
        if name == "interactions":
            rows = [self._mishap(row, mishap) for row in rows]
        return [
            {
                **{key: value for key, value in row.items() if key not in ("user", "item", "at")},
                "user_id": self.user(row["user"]),
                "item_id": self.catalogue.item_id(row["item"]),
                "timestamp": self._instant(row["at"]),
            }
            for row in sorted(rows, key=lambda row: float(row["at"]))
        ]

    def _mishap(self, row: Row, mishap: str | None) -> Row:
        if mishap == "drift":
            return {**row, "watch_ratio": row["watch_ratio"] / 3.0}
        if mishap == "units":
            return {**row, "watch_ratio": row["watch_ratio"] * float(self.catalogue.duration[row["item"]]) * 1000.0}
        return row

    def _instant(self, seconds: float) -> datetime:
        return self.begin + timedelta(seconds=round(seconds))
