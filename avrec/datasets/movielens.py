"""The source `movielens`: `ratings.csv`, `movies.csv` and, where present, `tags.csv`, as GroupLens publishes them.

A rating of 4 or more is positive (a `like`), of 2 or less a true negative (a `dislike`), anything between is unknown.
The genres are the tags of an item, the first of them its category; the year in the title is when it was published. What
people wrote as tags are comments, because they have an author and a time: as tags of the item they would carry the
future into the training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avrec.datasets.outside import Columns, OutsideSource, Raw, csv_table, require_file
from avrec.errors import DataError

POSITIVE, NEGATIVE = 4.0, 2.0


class MovielensSource(OutsideSource):
    """Reads ml-latest-small and its larger sisters."""

    name = "movielens"

    def read(self, path: Path, connection: Any, columns: Columns) -> Raw:
        _require(require_file(path, "movies.csv"), "items", {"movieid", "title", "genres"}, connection)
        _require(
            require_file(path, "ratings.csv"), "interactions", {"userid", "movieid", "rating", "timestamp"}, connection
        )
        genres = "nullif(genres, '(no genres listed)')"
        connection.execute(
            f"""create table raw_items as select row, movieId as item_id, 'movie' as media_type, title,
            {genres} as tags, split_part({genres}, '|', 1) as category,
            nullif(regexp_extract(title, '\\((\\d{{4}})\\)\\s*$', 1), '') || '-01-01' as published_at
            from file_items order by row"""
        )
        # A rating that is no number gives an event that cannot be told: it stays unknown.
        connection.execute(
            f"""create table raw_interactions as select row, userId as user_id, movieId as item_id, timestamp,
            case when stars >= {POSITIVE} then 'like' when stars <= {NEGATIVE} then 'dislike' else 'view' end as event,
            case when stars >= {POSITIVE} then 'positive' when stars <= {NEGATIVE} then 'negative' else 'unknown' end
            as label, 1.0 as weight
            from (select *, try_cast(rating as double) as stars from file_interactions) order by row"""
        )
        if (path / "tags.csv").is_file():
            _require(path / "tags.csv", "comments", {"userid", "movieid", "tag", "timestamp"}, connection)
            # Tags of one person, film and second are one comment: the key of the table has no place for two.
            connection.execute(
                """create table raw_comments as
                select min(row) as row, userId as user_id, movieId as item_id, timestamp,
                string_agg(tag, ', ' order by row) as text
                from file_comments group by userId, movieId, timestamp order by 1"""
            )
        return Raw(has_time=True)


def _require(path: Path, table: str, needed: set[str], connection: Any) -> None:
    found = csv_table(connection, path, table, delim=",", quote='"', escape='"')
    missing = needed - {name.lower() for name in found}
    if missing:
        raise DataError(f"{path}: columns {sorted(missing)} are missing; it has {found}. Is this a MovieLens file?")
