"""`avrec search`: a question to a catalogue, answered on a terminal."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from avrec.errors import DataError
from avrec.features.tokens import Item
from avrec.params import FeaturesParams, load_params
from avrec.schema import SEMANTIC
from avrec.search.build import build_index
from avrec.search.examples import as_whole, picture_moments, sound_moments
from avrec.search.find import Hit, Question, as_json, find
from avrec.search.index import SearchIndex
from avrec.search.sources import open_source
from avrec.search.spoken import spoken_answer, understand

FOLDER = "search"


def search(
    catalogue: Path, *, text: str | None = None, image: Path | None = None, audio: Path | None = None,
    voice: Path | None = None, voice_text: str | None = None, like: str | None = None, last: str | None = None,
    k: int | None = None, json_: bool = False,
) -> list[Hit]:  # fmt: skip
    """Answers one question and prints the answer.

    Raises:
        DataError: not exactly one kind of question, or no such catalogue.
        MediaError: a file given as an example cannot be read.
    """
    kinds = {"--text": text, "--image": image, "--audio": audio, "--voice": voice, "--voice-text": voice_text,
             "--like": like}  # fmt: skip
    given = [name for name, value in kinds.items() if value is not None]
    if len(given) != 1:
        raise DataError(f"search: give exactly one of {', '.join(kinds)}; got {', '.join(given) or 'none'}.")
    if k is not None and k < 1:
        raise DataError(f"search: --k is the length of the list; expected at least 1, got {k}.")
    params = _params(catalogue)
    if voice is not None:
        from avrec.search.voice import transcribe_request

        voice_text = transcribe_request(voice, params)
    index = open_index(catalogue)
    if voice_text is not None:
        return _answer_voice(index, voice_text, last, k, json_)
    hits = find(index, _question(catalogue, params, text or "", like, image, audio), k or 10)
    _print(hits, json_, {})
    return hits


def _question(
    catalogue: Path, params: FeaturesParams, text: str, like: str | None, image: Path | None, audio: Path | None
) -> Question:
    example: Item = {
        **({"visual": picture_moments(image, params)} if image else {}),
        **({"audio": sound_moments(audio, params)} if audio else {}),
    }
    moments = {name: found.vectors for name, found in example.items()}
    whole = as_whole(example, catalogue / "features" / SEMANTIC)
    return Question(text=text, like=like, audio=moments.get("audio"), visual=moments.get("visual"), semantic=whole)


def _answer_voice(index: SearchIndex, said: str, last: str | None, k: int | None, json_: bool) -> list[Hit]:
    request = understand(said, last)
    hits = find(index, request.question, k or request.k)
    _print(hits, json_, {"said": request.said, "answer": spoken_answer(request, hits)})
    return hits


def _params(catalogue: Path) -> FeaturesParams:
    from avrec.features.origin import NAME, read_origin

    if (catalogue / NAME).is_file():
        return read_origin(catalogue).params
    return load_params().features if Path("params.yaml").is_file() else FeaturesParams()


def open_index(catalogue: Path) -> SearchIndex:
    """The index of a catalogue, kept in its folder `search` and built anew when the catalogue changed."""
    folder = catalogue / FOLDER
    state = _state(catalogue)
    stamp = folder / "built_from"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == state:
        return SearchIndex.load(folder)
    print(f"building the search index of {catalogue}", file=sys.stderr, flush=True)
    index = build_index(open_source(catalogue, _params(catalogue)))
    _replace(folder, index, state)
    return index


def _replace(folder: Path, index: SearchIndex, state: str) -> None:
    """Puts a whole index in place of an older one; where that may not be written, there is none next time."""
    import shutil

    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".search-") as name:
            aside = Path(name) / FOLDER
            index.save(aside)
            (aside / "built_from").write_text(state, encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    except OSError as error:
        print(f"the index is not kept: {error}", file=sys.stderr)


def _state(catalogue: Path) -> str:
    """Names, sizes and times of everything the index is built from, hashed."""
    digest = hashlib.sha256()
    parts = ("visual", "audio", "speech", "features", "signals", "valid/items.parquet", "signals.parquet")
    for part in parts:
        path = catalogue / part
        for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []:
            stat = file.stat()
            digest.update(f"{file.relative_to(catalogue)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _print(hits: Sequence[Hit], json_: bool, more: dict[str, str]) -> None:
    if json_:
        print(json.dumps({**more, "hits": as_json(hits)}, ensure_ascii=False, indent=2))
        return
    if "answer" in more:
        print(f"“{_shown(more['said'])}”\n{_shown(more['answer'])}")
    if not hits:
        print("Nothing has anything to do with that.")
        return
    for rank, hit in enumerate(hits, 1):
        named = " ".join(part for part in (hit.item_id, f"“{hit.title}”" if hit.title else "") if part)
        print(f"{rank:3d}. {_shown(named)}")
        print(f"     {hit.start_s:.1f} to {hit.end_s:.1f} s, {hit.why}, score {hit.score:.3f}")
        print(f"     generated: {_shown(hit.description)}")


def _shown(text: str) -> str:
    """Without the characters that would command a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
