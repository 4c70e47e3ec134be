"""`avrec search` over an extracted folder, as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avrec.errors import DataError, MediaError
from avrec.features.folder import extract_folder
from avrec.params import FeaturesParams, VisualParams
from avrec.search.commands import FOLDER, search
from tests.media.make import make_clip


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("search")
    media, out = base / "media", base / "out"
    media.mkdir()
    for seed, name in enumerate(("a.mp4", "b.mp4", "c.mp4")):
        make_clip(media / name, seed=seed, seconds=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVREC_HOME", str(base / "home"))
        extract_folder(str(media), out, params=FeaturesParams(visual=VisualParams(frames=2)))
    return media, out


def test_examples_find_themselves(catalogue: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    media, out = catalogue
    assert search(out, image=media / "b.mp4", k=2)[0].item_id == "b.mp4"
    assert search(out, audio=media / "c.mp4", k=2)[0].item_id == "c.mp4"
    assert "generated: A 2-second" in capsys.readouterr().out


def test_json_is_json_and_the_index_is_kept(catalogue: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, out = catalogue
    search(out, text="a tone", json_=True)
    capsys.readouterr()
    stamp = (out / FOLDER / "built_from").stat().st_mtime_ns
    search(out, voice_text="play two things like the last one", last="a.mp4", json_=True)
    answer = json.loads(capsys.readouterr().out)
    assert {"said", "answer", "hits"} == set(answer)
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2]
    assert "a.mp4" not in [hit["item_id"] for hit in answer["hits"]]
    assert (out / FOLDER / "built_from").stat().st_mtime_ns == stamp
    (out / "visual" / "signals.parquet").touch()
    search(out, like="a.mp4", json_=True)
    assert (out / FOLDER / "built_from").stat().st_mtime_ns > stamp


def test_wrong_questions_are_told(catalogue: tuple[Path, Path], tmp_path: Path) -> None:
    _, out = catalogue
    with pytest.raises(DataError, match="exactly one of"):
        search(out)
    with pytest.raises(DataError, match="got --text, --like"):
        search(out, text="x", like="a.mp4")
    with pytest.raises(DataError, match="at least 1, got 0"):
        search(out, text="x", k=0)
    with pytest.raises(DataError, match="is no file"):
        search(out, image=tmp_path / "absent.png")
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(MediaError, match=r"no\.png"):
        search(out, image=tmp_path / "no.png")
    with pytest.raises(DataError, match="is no catalogue"):
        search(tmp_path, text="x")
