"""What people wrote about what they watched, as evidence beside the watching: who watched and complained is no fan."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

import numpy as np
import pyarrow as pa

from avrec.features.sentiment import Sentiment
from avrec.params import OpinionParams
from avrec.schema import COMMENTS, INSTANT, INTERACTIONS

OPINIONS = pa.schema(
    [("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", INSTANT), ("sentiment", pa.float32())]
)
"""One row a comment, without its words."""


def judge_comments(comments: pa.Table, sentiment: Sentiment | None = None) -> pa.Table:
    """`OPINIONS` of a table `avrec.schema.COMMENTS`, in its order."""
    table = COMMENTS.conform(comments)
    scores = (sentiment or Sentiment()).scores(table["text"].to_pylist()) if table.num_rows else []
    columns = [table["user_id"], table["item_id"], table["timestamp"], pa.array(scores, pa.float32())]
    return pa.Table.from_arrays(columns, schema=OPINIONS)


def apply_opinions(
    interactions: pa.Table, opinions: pa.Table, params: OpinionParams, before: datetime | None = None
) -> pa.Table:
    """Interactions as they look to somebody who also reads the comments.

    Args:
        interactions: Table `avrec.schema.INTERACTIONS`; the order of its rows is kept.
        opinions: Table `OPINIONS`.
        params: `use` `weight`: a positive row whose author complained of the item counts `1 + sentiment` of its weight.
            `label`: it becomes a negative, an unknown one becomes what its author wrote; the weight is how clearly.
            `off`: nothing changes.
        before: Only what was written before this instant is known.
    """
    if params.use == "off" or not opinions.num_rows or not interactions.num_rows:
        return interactions
    felt = _by_pair(opinions, params.least, before)
    pairs = zip(interactions["user_id"].to_pylist(), interactions["item_id"].to_pylist(), strict=True)
    sentiment = np.array([felt.get(pair, 0.0) for pair in pairs])
    labels = np.array(interactions["label"].to_pylist(), dtype=object)
    weights = np.asarray(interactions["weight"], np.float32).copy()
    if params.use == "weight":
        rows = (labels == "positive") & (sentiment < 0)
        weights[rows] *= (1.0 + sentiment[rows]).astype(np.float32)
    else:
        complained = (sentiment < 0) & (labels != "negative")
        praised = (sentiment > 0) & (labels == "unknown")
        labels[complained], labels[praised] = "negative", "positive"
        rows = complained | praised
        weights[rows] = np.abs(sentiment[rows]).astype(np.float32)
    changed = interactions.set_column(interactions.column_names.index("label"), "label", pa.array(labels, pa.string()))
    weight = pa.array(weights, pa.float32())
    return INTERACTIONS.conform(changed.set_column(changed.column_names.index("weight"), "weight", weight))


def _by_pair(opinions: pa.Table, least: float, before: datetime | None) -> dict[tuple[str, str], float]:
    """Mean sentiment by person and item, where it is clear."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in opinions.to_pylist():
        if before is None or row["timestamp"] < before:
            found[row["user_id"], row["item_id"]].append(row["sentiment"])
    means = {pair: float(np.mean(values)) for pair, values in found.items()}
    return {pair: max(-1.0, min(1.0, mean)) for pair, mean in means.items() if abs(mean) >= least}
