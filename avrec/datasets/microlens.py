"""The source `microlens`: the public layout of MicroLens (Ni et al. 2023), any of its sizes.

`*_pairs.csv` (user, item, timestamp in milliseconds), `*_titles.csv` or `*_title_en.csv` (item, title), optionally
`*_likes_and_views.txt` and `*_comment*_en.txt` (tab-separated, no header), and the folders `*videos`, `*audios`,
`*covers` with a file an item, named by its id. A pair is a public comment, and counts as positive; there are no true
negatives.

Likes and views are totals at the time of the crawl, after the last interaction: they say which items there are, and are
otherwise left alone, because as a feature they would tell the future.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from avrec.datasets.media_files import AUDIO, VIDEO
from avrec.datasets.outside import Columns, OutsideSource, Raw, csv_table, one_file, require_file
from avrec.errors import DataError

PICTURE = frozenset({".jpg", ".jpeg", ".png", ".webp"})
KINDS = (("videos", VIDEO, "video"), ("audios", AUDIO, "audio"), ("covers", PICTURE, "video"))
"""Folders in the order of preference: one file stands for an item."""


class MicrolensSource(OutsideSource):
    """Reads MicroLens-50k, -100k, -1M, or a part of one in the same layout."""

    name = "microlens"

    def read(self, path: Path, connection: Any, columns: Columns) -> Raw:
        _pairs(connection, require_file(path, "*pairs.csv"))
        _titles(connection, require_file(path, "*titles.csv", "*title_en.csv", "*title*.csv"))
        _counts(connection, one_file(path, "*likes_and_views.txt"))
        connection.register("files", _media(path))
        connection.execute(
            """create table raw_items as
            with ids as (select id, min(position) as position from
                (select id, row as position from titles union all select id, 1e12 + row from counts
                 union all select item_id, 2e12 + row from raw_interactions) where id is not null group by id)
            select row_number() over (order by position, id) - 1 as row, id as item_id,
                   coalesce(kind, 'video') as media_type, title, uri as media_uri
            from ids left join (select id, any_value(title order by row) as title from titles group by id) using (id)
            left join files using (id) order by position, id"""
        )
        _comments(connection, one_file(path, "*comments_en.txt", "*comment_en.txt", "*comments.txt", "*comment.txt"))
        return Raw(has_time=True, media_root=path)


def _pairs(connection: Any, path: Path) -> None:
    found = {name.lower(): name for name in csv_table(connection, path, "interactions", delim=",")}
    names = [next((found[n] for n in choices if n in found), None) for choices in
             (("user", "userid", "user_id"), ("item", "videoid", "item_id"), ("timestamp",))]  # fmt: skip
    if None in names:
        raise DataError(f"{path}: expected columns user, item and timestamp; it has {list(found.values())}.")
    user, item, moment = names
    connection.execute(
        f"""create table raw_interactions as select row, "{user}" as user_id, trim("{item}") as item_id,
        "{moment}" as timestamp, 'comment' as event, 'positive' as label from file_interactions order by row"""
    )


def _titles(connection: Any, path: Path) -> None:
    """Titles, with or without a header: the 100k release has none."""
    csv_table(connection, path, "titles", delim=",", quote='"', escape='"', header=False, names=["id", "title"])
    connection.execute(
        """create table titles as select row, trim(id) as id, title from file_titles
        where not (row = 0 and lower(trim(id)) in ('item', 'itemid', 'item_id', 'videoid', 'id'))"""
    )


def _counts(connection: Any, path: Path | None) -> None:
    if path is None:
        connection.execute("create table counts (row bigint, id varchar)")
        return
    csv_table(connection, path, "counts", delim="\t", header=False, names=["id", "likes", "views"])
    connection.execute("create table counts as select row, trim(id) as id from file_counts")


def _comments(connection: Any, path: Path | None) -> None:
    """Comments carry no time of their own: a comment is the pair of the same person and item."""
    if path is None:
        return
    csv_table(connection, path, "comments", delim="\t", quote="", header=False, names=["user_id", "item_id", "text"])
    connection.execute(
        """create table raw_comments as
        select c.row, c.user_id, trim(c.item_id) as item_id, p.timestamp, c.text from file_comments c
        left join (select user_id, item_id, min(timestamp) as timestamp from raw_interactions group by all) p
        on p.user_id = c.user_id and p.item_id = trim(c.item_id) order by c.row"""
    )


def _media(path: Path) -> pa.Table:
    """One file an item: its film, else its sound, else its cover."""
    best: dict[str, tuple[str, str]] = {}
    for folder_name, suffixes, kind in KINDS:
        for folder in sorted(p for p in path.glob(f"*{folder_name}") if p.is_dir()):
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in suffixes:
                    best.setdefault(file.stem, (file.relative_to(path).as_posix(), kind))
    return pa.table({
        "id": pa.array(best, pa.string()),
        "uri": pa.array([uri for uri, _ in best.values()], pa.string()),
        "kind": pa.array([kind for _, kind in best.values()], pa.string()),
    })  # fmt: skip
