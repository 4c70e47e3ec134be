"""Train, validation and test: one global cut through time, so that the future never reaches training.

The instants at which the cuts fall are quantiles of the time of all interactions; interactions of one instant are
never separated. Data sets without time keep the split they bring. What is missing from a given split is taken from it
by a rule that needs no chance: see `given_split`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avrec.errors import DataError
from avrec.params import SplitParams
from avrec.schema import INTERACTIONS

PARTS = ("train", "val", "test")
Codes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class SplitResult:
    """The parts, each as `avrec.schema.INTERACTIONS` in time order, and what is special about whom.

    Attributes:
        parts: Tables by name: train, val, test.
        slices: `cold_items_val`, `cold_items_test`: items of that part without any training interaction;
            `light_users`: people with at most `light_user_max` training interactions, none included. Ids in the
            order of first appearance.
        boundaries: ISO instants at which val and test begin; None without time.
    """

    parts: dict[str, pa.Table]
    slices: dict[str, list[str]]
    boundaries: dict[str, str | None]

    def metrics(self) -> dict[str, Any]:
        """Counts and boundaries for `artifacts/split.json`."""
        counts = {
            name: {
                "interactions": table.num_rows,
                "users": pc.count_distinct(table["user_id"]).as_py(),
                "items": pc.count_distinct(table["item_id"]).as_py(),
                **{label: _count(table, label) for label in ("positive", "negative", "unknown")},
            }
            for name, table in self.parts.items()
        }
        return {
            "counts": counts,
            "boundaries": self.boundaries,
            "slices": {name: len(ids) for name, ids in self.slices.items()},
        }


def split_interactions(interactions: pa.Table, params: SplitParams, has_time: bool) -> SplitResult:
    """Splits a table of interactions.

    Args:
        interactions: As `avrec.schema.INTERACTIONS`, any order.
        params: Shares of val and test, and who counts as light.
        has_time: False: use `given_split`.

    Raises:
        DataError: a part would be empty; says why.
    """
    interactions = INTERACTIONS.conform(interactions)
    codes = by_time(interactions, params) if has_time else given_split(interactions)
    interactions, codes = _in_time_order(interactions, codes) if has_time else (interactions, codes)
    parts = {name: interactions.filter(pa.array(codes == code)) for code, name in enumerate(PARTS)}
    for name, table in parts.items():
        if not table.num_rows:
            raise DataError(
                f"split: {name} is empty ({interactions.num_rows} interactions in all). Bring more interactions, "
                "or change split.val and split.test in params.yaml."
            )
    return SplitResult(parts, _slices(parts, params.light_user_max), _boundaries(parts, has_time))


def by_time(interactions: pa.Table, params: SplitParams) -> Codes:
    """Part of every row `[n]`: 0 train, 1 val, 2 test, in order of time; rows of one instant stay together."""
    if interactions["timestamp"].null_count:
        raise DataError(
            f"split: {interactions['timestamp'].null_count} interactions have no timestamp in a data set with time; "
            "give them one or remove them."
        )
    time = interactions["timestamp"].cast(pa.int64()).to_numpy()
    ordered = np.sort(time)
    if not len(ordered):
        raise DataError("split: there are no interactions; bring a table of them (see docs/ on bringing your data).")
    starts = [ordered[min(int(np.floor(len(ordered) * share)), len(ordered) - 1)] for share in _shares(params)]
    codes: Codes = np.searchsorted(np.array(starts), time, side="right").astype(np.int8)
    return codes


def _shares(params: SplitParams) -> tuple[float, float]:
    return 1.0 - params.val - params.test, 1.0 - params.test


def given_split(interactions: pa.Table) -> Codes:
    """Part of every row `[n]` as the data set gives it.

    Where no test is given, every second person of val (in the order of first appearance) becomes the test; where no
    val is given, every second person of test becomes val. Which half is which depends only on the order of the rows.
    """
    given = interactions["given_split"]
    unknown = sorted(set(pc.unique(given).to_pylist()) - set(PARTS), key=str)
    if unknown:
        raise DataError(
            f"split: given_split holds {unknown}; expected one of {list(PARTS)} in a data set without time."
        )
    codes: Codes = pc.index_in(given, value_set=pa.array(PARTS)).to_numpy().astype(np.int8)
    present = {PARTS[code] for code in np.unique(codes)}
    if "train" not in present or len(present) < 2:
        raise DataError(
            f"split: the data set gives only {sorted(present)}; expected train and at least one of val and test."
        )
    if len(present) == 2:
        have, lack = (1, 2) if "val" in present else (2, 1)
        codes = _halve(interactions, codes, have, lack)
    return codes


def _halve(interactions: pa.Table, codes: Codes, have: int, lack: int) -> Codes:
    """Moves every second person of part `have` to part `lack`."""
    rows = np.flatnonzero(codes == have)
    people = interactions["user_id"].take(pa.array(rows)).combine_chunks().dictionary_encode()
    codes = codes.copy()
    codes[rows[np.asarray(people.indices) % 2 == 1]] = lack
    return codes


def _in_time_order(interactions: pa.Table, codes: Codes) -> tuple[pa.Table, Codes]:
    order = np.argsort(interactions["timestamp"].cast(pa.int64()).to_numpy(), kind="stable")
    return interactions.take(pa.array(order)), codes[order]


def _slices(parts: dict[str, pa.Table], light_user_max: int) -> dict[str, list[str]]:
    trained = pc.unique(parts["train"]["item_id"])
    slices = {}
    for name in ("val", "test"):
        items = pc.unique(parts[name]["item_id"])
        slices[f"cold_items_{name}"] = items.filter(pc.invert(pc.is_in(items, value_set=trained))).to_pylist()
    counts = {row["values"].as_py(): row["counts"].as_py() for row in pc.value_counts(parts["train"]["user_id"])}
    people = pc.unique(pa.chunked_array([c for part in parts.values() for c in part["user_id"].chunks], pa.string()))
    slices["light_users"] = [user for user in people.to_pylist() if counts.get(user, 0) <= light_user_max]
    return slices


def _boundaries(parts: dict[str, pa.Table], has_time: bool) -> dict[str, str | None]:
    if not has_time:
        return {"val": None, "test": None}
    return {name: pc.min(parts[name]["timestamp"]).as_py().isoformat() for name in ("val", "test")}


def _count(table: pa.Table, label: str) -> int:
    return int(pc.sum(pc.equal(table["label"], label)).as_py() or 0)


def write_part(folder: Path, name: str, table: pa.Table) -> Path:
    """Writes one part as `folder/name.parquet`; equal tables give equal bytes."""
    path = folder / f"{name}.parquet"
    pq.write_table(INTERACTIONS.conform(table), path, compression="zstd", store_schema=False)
    return path
