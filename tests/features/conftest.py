"""A handful of real clips and their samples, decoded once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from avrec.datasets.dataset import DatasetMeta, write_meta, write_table
from avrec.media.decode import decode
from avrec.media.sample import PicturePlan, Request, Sample, SoundPlan
from avrec.params import LimitsParams
from avrec.schema import ITEMS
from tests.media.make import make_clip

CLIPS = ("a.mp4", "b.mp4", "c.mp4", "mute.mp4", "blind.mp4", "broken.mp4")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three whole clips, one without sound, one without picture, and one that is no film."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(CLIPS[:3]):
        make_clip(folder / name, seed=seed, seconds=1.0 + seed / 2)
    make_clip(folder / "mute.mp4", sound=False, seconds=1.0)
    make_clip(folder / "blind.mp4", picture=False, seconds=1.0)
    (folder / "broken.mp4").write_text("no film")
    return folder


@pytest.fixture(scope="session")
def samples(clips: Path) -> list[Sample]:
    """The five that can be read, as the networks get them."""
    plans = (PicturePlan(3, 224), SoundPlan(60.0))
    return [decode(Request(name, str(clips), *plans), LimitsParams()) for name in CLIPS[:5]]


@pytest.fixture
def make_valid(clips: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a data set over the clips below `tmp_path/data/valid`; returns that folder."""

    def make(names: tuple[str, ...] = CLIPS, **given: object) -> Path:
        rows = [
            {"item_id": f"item-{name}", "media_type": "video", "title": f"Clip {name[0]}", "media_uri": name}
            for name in names
        ]
        rows.append({"item_id": "item-none", "media_type": "text", "title": None, "media_uri": None})
        folder = tmp_path / "data" / "valid"
        write_table(folder, "items", pa.Table.from_pylist(rows, schema=ITEMS.schema))
        write_meta(folder, DatasetMeta("folder", False, None, False, str(clips), "0" * 16, **given))  # type: ignore[arg-type]
        return folder

    return make
