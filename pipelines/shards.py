"""Plans the extraction of a run: `python -m pipelines.shards RUN_ID ITEMS_PER_SHARD`; hands back a command a shard."""

from __future__ import annotations

import math
import sys

import pyarrow.parquet as pq

from avrec.errors import told
from pipelines.scratch import scratch
from pipelines.stage import result

MOST = 1000  # mapped tasks; more make the scheduler the bottleneck
FEWEST = 2  # one task's start (imports, building networks) passes while another one computes
WORTH_A_TASK = 50  # items
ITEMS = "data/valid/items.parquet"
INPUTS = ("data/valid", "data/media")


def plan(run_id: str, items_per_shard: int) -> list[list[str]]:
    """Arguments of `pipelines.inside`, one list a shard."""
    with scratch(run_id, "plan") as here:
        here.pull([ITEMS])
        items = pq.read_metadata(here.folder / ITEMS).num_rows
    count = min(MOST, max(math.ceil(items / items_per_shard), min(FEWEST, items // WORTH_A_TASK), 1))
    pull = [word for path in INPUTS for word in ("--pull", path)]
    command = ["--", "python", "-m", "pipelines.extract", "--shard"]
    return [[run_id, *pull, *command, str(shard), "--of", str(count)] for shard in range(count)]


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or not arguments[1].isdigit() or int(arguments[1]) < 1:
        print("usage: python -m pipelines.shards RUN_ID ITEMS_PER_SHARD", file=sys.stderr)
        return 2
    try:
        commands = plan(arguments[0], int(arguments[1]))
    except Exception as error:
        return told(arguments[0], error)
    print(f"{len(commands)} shard(s)", flush=True)
    result(commands)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
