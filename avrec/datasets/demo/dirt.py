"""What is wrong with the demo set, on purpose, so that validation has work on the first run.

Files that are broken stay in the catalogue; rows that are wrong stay in the tables. Only rows that no table can hold
(an instant that is none) are rejected when the set is made, as any source would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avrec.datasets.demo.behaviour import DAY

Row = dict[str, Any]


def damage_files(folder: Path, uris: Sequence[str], seed: int) -> dict[str, str]:
    """Truncates, empties, mislabels and removes a few files. Returns what was done to which."""
    rng = np.random.default_rng([seed, 5])
    count = max(1, len(uris) // 100)
    chosen = [uris[i] for i in rng.permutation(len(uris))[: 3 * count + 1]]
    done = {}
    for uri in chosen[:count]:
        content = (folder / uri).read_bytes()
        (folder / uri).write_bytes(content[: len(content) * 3 // 5])
        done[uri] = "truncated"
    for uri in chosen[count : 2 * count]:
        (folder / uri).write_text("This is a note, not a film.\n" * 40, encoding="utf-8")
        done[uri] = "text under the name of a film"
    for uri in chosen[2 * count : 3 * count]:
        _keep_picture_only_header(folder / uri)
        done[uri] = "its first bytes are gone"
    (folder / chosen[-1]).unlink()
    done[chosen[-1]] = "missing"
    return done


def _keep_picture_only_header(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(b"\0" * 64 + content[64:])


def wrong_items(items: list[Row]) -> list[Row]:
    """Rows to add to the items: one twice, one that lasts less than nothing and comes from the future."""
    twice = dict(items[len(items) // 3], title="The same item once more")
    impossible = dict(items[0], item_id="demo-impossible", title="Longer ago than now", duration_s=-4.0, media_uri=None,
                      media_sha256=None)  # fmt: skip
    return [twice, impossible]


def wrong_interactions(rows: list[Row], days: int, seed: int) -> list[Row]:
    """Rows to add to the interactions: repeated ones and ones that cannot have happened.

    `at` is in seconds after the start of the period, as in `behaviour.Log`.
    """
    rng = np.random.default_rng([seed, 6])
    count = max(1, len(rows) // 250)
    picked = [rows[i] for i in rng.permutation(len(rows))[: 5 * count]]
    kinds: list[Row] = [
        {},
        {"watch_ratio": -0.5},
        {"watch_ratio": 250.0},
        {"at": (days + 400) * DAY},
        {"item": -1},
    ]
    return [{**row, **kinds[index % len(kinds)]} for index, row in enumerate(picked)]


def unreadable_interactions(seed: int) -> list[Row]:
    """Rows as a broken logger writes them; no table can hold them."""
    return [
        {
            "item_id": "demo-0001",
            "timestamp": "yesterday",
            "event": "view",
            "reason": "timestamp 'yesterday' is not an instant",
        },
        {
            "item_id": "demo-0002",
            "timestamp": "0000-00-00",
            "event": "view",
            "reason": "timestamp '0000-00-00' is not an instant",
        },
        {"item_id": "", "timestamp": "", "event": "view", "reason": "item_id is empty"},
    ]
