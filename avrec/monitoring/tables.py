"""What a published table looks like, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from avrec.datasets.cleaning import POSITIVE_EVENTS
from avrec.datasets.dataset import Dataset
from avrec.recommend.filters import available_at, end_of
from avrec.recommend.recipe import DEFAULT_USER

TOP = 10
"""Items whose share of all rows is told, and ranks within which a hit counts."""


@dataclass(frozen=True)
class TableHealth:
    """Spread and effect of one publication.

    Attributes:
        publication_id, run_date, model_version: Which.
        people: People with a list of their own.
        coverage: Share of the items available on that day that are in any list.
        gini: Concentration of the rows on items, 0 (all equally often) to 1, over the available items.
        top_share: Share of the rows that the `TOP` most listed items have.
        judged: People who liked something within the horizon afterwards; nothing below is known where it is 0.
        hit_rate: Share of them to whom one of those was among the first `TOP` of their list.
        default_rate: The same had everybody got the default list.
        shown: Impressions of the table's rows that were told of.
        answered: Share of those with a positive outcome; None where nothing was shown.
    """

    publication_id: str
    run_date: date
    model_version: str
    people: int
    coverage: float
    gini: float
    top_share: float
    judged: int
    hit_rate: float | None
    default_rate: float | None
    shown: int
    answered: float | None

    @property
    def lift(self) -> float | None:
        """Hit rate over that of the default list; None where nothing is known or nobody was hit by the default."""
        if self.hit_rate is None or not self.default_rate:
            return None
        return self.hit_rate / self.default_rate


def table_health(
    identity: tuple[str, date, str], parts: Iterable[pa.Table], dataset: Dataset, since: datetime, until: datetime
) -> TableHealth:
    """Measures a publication against a data set that knows what happened afterwards.

    Args:
        identity: Publication id, run date, model version.
        parts: Its rows, tables `RECOMMENDATIONS`.
        dataset: The newest data.
        since: What the table could know ends here.
        until: What is counted afterwards ends here.
    """
    publication_id, run_date, version = identity
    available = int(available_at(dataset.table("items"), end_of(run_date)).sum())
    counts: Counter[str] = Counter()
    people, heads = 0, []
    for part in parts:
        own = part.filter(pc.invert(pc.starts_with(part["user_id"], DEFAULT_USER)))
        for pair in pc.value_counts(own["item_id"].combine_chunks()).to_pylist():
            counts[pair["values"]] += pair["counts"]
        people += len(pc.unique(own["user_id"]))
        heads.append(part.filter(pc.less_equal(part["rank"], TOP)).select(["user_id", "item_id"]))
    judged, hit, default = _hits(pa.concat_tables(heads), dataset, since, until)
    shown, answered = _impressions(dataset, publication_id)
    rows = sum(counts.values())
    top = sum(count for _, count in counts.most_common(TOP))
    return TableHealth(publication_id, run_date, version, people, len(counts) / max(available, 1),
                       gini_of(list(counts.values()), available), top / max(rows, 1), judged, hit, default,
                       shown, answered)  # fmt: skip


def gini_of(counts: list[int], n_items: int) -> float:
    """Gini coefficient of how often items are listed, `n_items` in all; 0 where nothing is listed."""
    values = [0] * max(n_items - len(counts), 0) + sorted(counts)
    total, n = sum(values), len(values)
    if not total:
        return 0.0
    weighted = sum((2 * rank - n - 1) * value for rank, value in enumerate(values, 1))
    return weighted / (n * total)


def _hits(
    heads: pa.Table, dataset: Dataset, since: datetime, until: datetime
) -> tuple[int, float | None, float | None]:
    import duckdb

    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.register("heads", heads)
    row = connection.execute(_HITS, [str(dataset.path("interactions")), since, until, DEFAULT_USER]).fetchone()
    assert row is not None
    judged, hits, defaults = row
    return (judged, hits / judged, defaults / judged) if judged else (0, None, None)


def _impressions(dataset: Dataset, publication_id: str) -> tuple[int, float | None]:
    if not dataset.has("impressions"):
        return 0, None
    import duckdb

    query = (
        f"select count(*), avg((coalesce(outcome, '') in {POSITIVE_EVENTS})::int) "
        "from read_parquet(?) where publication_id = ?"
    )
    row = duckdb.connect().execute(query, [str(dataset.path("impressions")), publication_id]).fetchone()
    assert row is not None
    return int(row[0]), row[1]


_HITS = """
    with liked as (
      select distinct user_id, item_id from read_parquet(?)
      where label = 'positive' and "timestamp" >= ?::timestamptz and "timestamp" < ?::timestamptz
    ), fallback as (select item_id from heads where user_id = ?), judged as (
      select l.user_id,
        bool_or(exists(select 1 from heads h where h.user_id = l.user_id and h.item_id = l.item_id)) as hit,
        bool_or(l.item_id in (select item_id from fallback)) as default_hit
      from liked l where l.user_id in (select user_id from heads) group by l.user_id
    )
    select count(*), count(*) filter (where hit), count(*) filter (where default_hit) from judged
"""
