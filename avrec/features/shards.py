"""Items split into shards that end together, for mapped tasks that fill the store."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from avrec.datasets.dataset import Dataset
from avrec.errors import ParamsError

PER_FILE_BYTES = 200_000
"""What opening a file and running the networks over it cost, in bytes of media that take as long."""


def plan_shards(valid: Dataset, shards: int) -> list[list[str]]:
    """Item ids of each shard, balanced by the size of their media; the same plan wherever it is made.

    Largest first to the least loaded (Graham 1969). Items without media are spread too: their texts take time.

    Raises:
        ParamsError: `shards` is not positive.
    """
    if shards < 1:
        raise ParamsError(f"shards must be at least 1, got {shards}.")
    sizes = _sizes(valid)
    loads = [(0, number) for number in range(shards)]
    members: list[list[int]] = [[] for _ in range(shards)]
    ids = valid.table("items")["item_id"].to_pylist()
    weights = [PER_FILE_BYTES + sizes.get(item_id, 0) for item_id in ids]
    for row in sorted(range(len(ids)), key=lambda row: (-weights[row], row)):
        load, number = heapq.heappop(loads)
        members[number].append(row)
        heapq.heappush(loads, (load + weights[row], number))
    return [[ids[row] for row in sorted(rows)] for rows in members]


def _sizes(valid: Dataset) -> dict[str, int]:
    if not valid.has("media"):
        return {}
    media = valid.table("media")
    columns: Sequence[Sequence[object]] = (media["item_id"].to_pylist(), media["bytes"].to_pylist())
    return {str(item_id): int(str(size)) for item_id, size in zip(*columns, strict=True) if size is not None}
