from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avrec.errors import DataError
from avrec.params import ValidationParams
from avrec.schema import FEATURES
from avrec.validation.features import check_features, raise_if_critical

VIDEOS = pa.table({"item_id": [f"{kind}{n}" for kind in "im" for n in range(12)], "media_type": ["video"] * 24})


def write(folder: Path, rows: list[tuple[str, list[float] | None]]) -> Path:
    table = pa.Table.from_pylist(
        [{"item_id": i, "vector": v, "present": v is not None} for i, v in rows], schema=FEATURES.schema
    )
    (folder / "features").mkdir(parents=True)
    pq.write_table(table, folder / "features" / "part-00.parquet")
    return folder


def good(count: int = 10) -> list[tuple[str, list[float] | None]]:
    return [(f"i{n}", [1.0 + n, 2.0, 3.0]) for n in range(count)]


def test_good_vectors_pass(tmp_path: Path) -> None:
    report = check_features(write(tmp_path, [*good(), ("late", None)]), "visual", ValidationParams(), VIDEOS)
    assert report["critical"] == report["warnings"] == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("x", [float("nan"), 1.0, 2.0]), "NaN or infinity"),
        (("x", [1.0, 2.0]), "differ in length"),
        (("x", [0.0, 0.0, 0.0]), "all zero"),
        (("i1", [4.0, 5.0, 6.0]), "two rows"),
    ],
)
def test_a_bad_vector_stops_the_pipeline(tmp_path: Path, row: tuple[str, list[float]], reason: str) -> None:
    report = check_features(write(tmp_path, [*good(), row]), "visual", ValidationParams(), VIDEOS)
    with pytest.raises(DataError, match=reason):
        raise_if_critical("visual", report)


def test_too_many_missing_stop_the_pipeline_but_none_at_all_is_a_warning(tmp_path: Path) -> None:
    some = write(tmp_path / "some", [*good(3), *[(f"m{n}", None) for n in range(9)]])
    assert check_features(some, "audio", ValidationParams(), VIDEOS)["critical"]
    none = write(tmp_path / "none", [(f"m{n}", None) for n in range(9)])
    report = check_features(none, "audio", ValidationParams(), VIDEOS)
    assert not report["critical"]
    assert report["warnings"]


def test_a_podcast_misses_nothing_by_having_no_picture(tmp_path: Path) -> None:
    folder = write(tmp_path, [*good(3), *[(f"m{n}", None) for n in range(9)]])
    types = ["video"] * 12 + ["podcast"] * 12
    items = VIDEOS.set_column(1, "media_type", pa.array(types))
    assert check_features(folder, "visual", ValidationParams(), items)["critical"] == []
    assert check_features(folder, "audio", ValidationParams(), items)["critical"]
