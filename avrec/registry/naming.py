"""Names in MLflow: legal, readable, and sorted so that the comparison page reads from top to bottom."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_ILLEGAL = re.compile(r"[^\w\-. :/]+")
_LONGEST_VALUE = 500


def legal(name: str) -> str:
    """`ndcg@10` becomes `ndcg_at_10`; whatever else MLflow does not take becomes `_`."""
    return _ILLEGAL.sub("_", name.replace("@", "_at_").replace("=", "/"))


def slice_prefix(name: str) -> str:
    """`all` is `test`, a slice `test_cold_all`, a category `test_category/music`."""
    return "test" if name == "all" else legal(f"test_{name}")


def flatten(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings with dotted names; lists stay whole."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, values


def numbers(values: Any) -> Iterator[tuple[str, float]]:
    """Finite numeric leaves of nested mappings."""
    for name, value in flatten(values):
        if isinstance(value, (bool, int, float)) and math.isfinite(float(value)):
            yield name, float(value)


def parameters(values: Any, prefix: str = "") -> dict[str, str]:
    """Leaves as MLflow parameters: legal names, short text."""
    return {legal(name): text(value) for name, value in flatten(values, prefix)}


def text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(part) for part in value)
    return ("none" if value is None or value == {} else str(value))[:_LONGEST_VALUE]


def batches(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most `size`, in order."""
    block: list[Any] = []
    for value in values:
        block.append(value)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
