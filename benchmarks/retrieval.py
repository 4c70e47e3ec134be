"""How well items are found: recall at 10 for each kind of question, beside chance.

    python -m benchmarks.retrieval [--esc10 DIR] [--clips DIR] [--demo DATA] [--json FILE]

`--esc10` and `--clips` are folders of media, extracted on the way (the feature store keeps what it knows); `--demo` is
the project's folder `data` after `dvc repro signals`. Recall at 10 is the number of relevant items among the first ten
over the smaller of ten and the number of relevant items, averaged over questions; an item is never an answer to itself.
R-precision is the same at as many items as are relevant: what tells more where the catalogue is small.

Classes are only used to judge: an index knows no folder names, and what it learns it learns from names that networks
give and words that creators wrote. Where words are hidden from the index, the map is learned from one half of the items
and asked for the other.

Requests are also really spoken: by eSpeak NG in several voices, heard by Whisper as `avrec search --voice` hears them.
Where one of the two is missing these rows are, with the reason. A request nobody understood has a recall of 0.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from avrec.errors import DataError
from avrec.features.folder import extract_folder
from avrec.features.signals import segments_of
from avrec.params import FeaturesParams
from avrec.search.build import build_index
from avrec.search.find import Question, find
from avrec.search.index import SearchIndex
from avrec.search.sources import Source, open_source
from avrec.search.spoken import understand
from benchmarks.spoken_requests import MANDARIN, VOICES, error_rate, hear, why_not

K = 10
SEED = 7

ESC10 = {
    "dog_bark": ("dog bark", "狗叫"), "rain": ("rain", "下雨"), "sea_waves": ("sea waves", "海浪"),
    "baby_cry": ("baby cry", "婴儿哭"), "clock_tick": ("clock tick", "时钟滴答"),
    "person_sneeze": ("person sneeze", "打喷嚏"), "helicopter": ("helicopter", "直升机"),
    "chainsaw": ("chainsaw", "电锯"),
    "rooster": ("rooster", "公鸡打鸣"), "fire_crackling": ("fire crackling", "火焰噼啪声"),
}  # fmt: skip
DEMO = {
    "cooking": "做菜", "travel": "旅行", "nature": "大自然", "music": "音乐", "gaming": "电子游戏", "fitness": "健身",
    "news": "新闻", "science": "科学", "comedy": "喜剧", "crafts": "手工", "cars": "汽车", "sleep": "睡眠",
}  # fmt: skip
TOYS = ("crystal", "elf", "frog", "monster", "pig", "rabbit")
CLIPS = {
    ("people talking", "有人说话"): ("friday", "nasa"),
    ("music", "音乐"): ("big_buck_bunny", "bigbuckbunny", "tears-of-steel", "nasa"),
    ("a vehicle passing by", "汽车"): ("failing_audio", "tears-of-steel"),
}  # fmt: skip

FIGURES = ("recall@10", "random recall@10", "r_precision", "random r_precision")

Relevant = Sequence[bool]


@dataclass(frozen=True)
class Asked:
    """A question (None: it was not understood), which items should answer it, and which one must not."""

    question: Question | None
    relevant: Relevant
    itself: int | None = None


def recall(
    index: SearchIndex, asked: Iterable[Asked], among: Sequence[int] | None = None
) -> tuple[float, float, float, float, int]:
    """Mean recall at 10, by chance, mean R-precision, by chance, and the number of questions; chance `among` items."""
    rng = np.random.default_rng(SEED)
    figures: list[tuple[float, float, float, float]] = []
    for each in asked:
        relevant = np.array(each.relevant)
        if each.itself is not None:
            relevant[each.itself] = False
        least = min(K, int(relevant.sum()))
        if not least:
            continue
        wanted = int(relevant.sum())
        hits = find(index, each.question, max(K, wanted) + 1) if each.question else []
        rows = [row for hit in hits if (row := index.row_of[hit.item_id]) != each.itself]
        others = np.array([i for i in among or range(len(relevant)) if i != each.itself])
        draws = [rng.permutation(others) for _ in range(20)]
        figures.append((
            relevant[rows[:K]].sum() / least,
            float(np.mean([relevant[draw[:K]].sum() / least for draw in draws])),
            relevant[rows[:wanted]].sum() / wanted,
            float(np.mean([relevant[draw[:wanted]].sum() / wanted for draw in draws])),
        ))  # fmt: skip
    at_10, chance_10, at_r, chance_r = np.mean(figures, axis=0).tolist()
    return at_10, chance_10, at_r, chance_r, len(figures)


def by_words(classes: Sequence[str], words: dict[str, str]) -> list[Asked]:
    return [Asked(Question(text=text), [c == name for c in classes]) for name, text in words.items()]


def by_request(classes: Sequence[str], sentences: Mapping[str, str]) -> list[Asked]:
    """What a person says to a smart speaker, as text; `sentences` by class."""
    return [Asked(understand(said).question, [c == name for c in classes]) for name, said in sentences.items()]


def by_voice(
    name: str, question: str, index: SearchIndex, classes: Sequence[str], sentences: Mapping[str, str],
    voices: Sequence[tuple[str, int]] = VOICES,
) -> list[dict[str, object]]:  # fmt: skip
    """The row of the same requests when they are spoken; none, and the reason, where that cannot be."""
    if reason := why_not():
        print(f"{name}: {question}: left out; {reason}", file=sys.stderr)
        return []
    heard = hear(list(sentences.values()), voices)
    for each in heard:
        if each.errors:
            print(f"said: {each.said} / heard: {each.words}", file=sys.stderr)
    wanted = list(sentences) * len(voices)
    asked = [Asked(_understood(each.words), [c == label for c in classes])
             for each, label in zip(heard, wanted, strict=True)]  # fmt: skip
    return [{**_row(name, question, index, asked), "word error rate": error_rate(heard)}]


def _understood(words: str | None) -> Question | None:
    try:
        return understand(words).question if words else None
    except DataError:
        return None


def by_example(index: SearchIndex, folders: Mapping[str, Path], modality: str, classes: Sequence[str]) -> list[Asked]:
    """Each item's own moments as a question for the others of its class."""
    asked = []
    for item_id, vectors, _, _ in segments_of(folders[modality]):
        row = index.row_of[item_id]
        question = Question(audio=vectors) if modality == "audio" else Question(visual=vectors)
        asked.append(Asked(question, [c == classes[row] for c in classes], row))
    return asked


def only(index: SearchIndex, channels: Sequence[str]) -> SearchIndex:
    """The same index with some of its channels."""
    return replace(index, channels={name: c for name, c in index.channels.items() if name in channels},
                   label_words={name: w for name, w in index.label_words.items() if name in channels})  # fmt: skip


def measure_esc10(source: Source) -> list[dict[str, object]]:
    index = build_index(source)
    classes = [item_id.partition("/")[0] for item_id in index.row_of]
    english, chinese = ({name: pair[i] for name, pair in ESC10.items()} for i in (0, 1))
    requests = {name: f"please play something with {text}, no music" for name, text in english.items()}
    mandarin = {name: f"播放{text}的声音，不要音乐" for name, text in chinese.items()}
    rows: list[tuple[str, SearchIndex, list[Asked]]] = [
        ("class words, English", index, by_words(classes, english)),
        ("class words, Chinese", index, by_words(classes, chinese)),
        ("a spoken request, as text", index, by_request(classes, requests)),
        ("class words, learned map alone", only(index, ("sound",)), by_words(classes, english)),
        ("another sound", index, by_example(index, source.features, "audio", classes)),
    ]
    return [
        *(_row("esc10", *row) for row in rows),
        *by_voice("esc10", "a spoken request, spoken", index, classes, requests),
        *by_voice("esc10", "the same in Mandarin, spoken", index, classes, mandarin, MANDARIN),
    ]


def measure_clips(source: Source) -> list[dict[str, object]]:
    index = build_index(source)
    names = list(index.row_of)
    words = [[], []]
    for texts, parts in CLIPS.items():
        relevant = [any(part in name for part in parts) for name in names]
        for language in (0, 1):
            words[language].append(Asked(Question(text=texts[language]), relevant))
    toys = ["toy" if any(f"__{toy}." in name for toy in TOYS) else name for name in names]
    pictures = [a for a in by_example(index, source.features, "visual", toys) if sum(a.relevant) > 1]
    return [
        _row("clips", "words, English", index, words[0]),
        _row("clips", "words, Chinese", index, words[1]),
        _row("clips", "a picture", index, pictures),
    ]


def measure_demo(source: Source) -> list[dict[str, object]]:
    index = build_index(source)
    classes = source.items["category"].to_pylist()
    english = {name: name for name in DEMO}
    requests = {name: f"please find me something about {name}" for name in DEMO}
    rows = [
        ("category, English", index, by_words(classes, english)),
        ("category, Chinese", index, by_words(classes, DEMO)),
        ("a spoken request, as text", index, by_request(classes, requests)),
        ("another sound", index, by_example(index, source.features, "audio", classes)),
        ("another picture", index, by_example(index, source.features, "visual", classes)),
    ]
    return [
        *(_row("demo", *row) for row in rows),
        *by_voice("demo", "a spoken request, spoken", index, classes, requests),
        *_hidden_words(source, english),
    ]


def _hidden_words(source: Source, words: dict[str, str]) -> list[dict[str, object]]:
    """Items whose words nobody wrote: found by a map learned from the pictures and sounds of the other half."""
    parts = []
    for half in (0, 1):
        hidden = np.arange(source.items.num_rows) % 2 == half
        blank = {name: [None if h else v for h, v in zip(hidden, source.items[name].to_pylist(), strict=True)]
                 for name in ("title", "description", "tags")}  # fmt: skip
        items = source.items
        for name, values in blank.items():
            items = items.set_column(items.column_names.index(name), name, pa.array(values, items[name].type))
        index = only(build_index(replace(source, items=items)), ("sound", "picture"))
        classes = [c if h else "" for c, h in zip(source.items["category"].to_pylist(), hidden, strict=True)]
        keep = set(np.flatnonzero(hidden).tolist())
        channels = {name: _rows_of(channel, keep) for name, channel in index.channels.items()}
        parts.append(_row("demo", "", replace(index, channels=channels), by_words(classes, words), sorted(keep)))
    means = {name: float(np.mean([part[name] for part in parts])) for name in FIGURES}
    return [{"set": "demo", "question": "category, words hidden, learned map", "questions": 2 * len(words), **means}]


def _rows_of(channel, keep: set[int]):  # type: ignore[no-untyped-def]
    rows = np.isin(channel.item, sorted(keep))
    return type(channel)(*(getattr(channel, name)[rows] for name in ("item", "start", "end", "whole", "vectors")))


def _row(
    name: str, question: str, index: SearchIndex, asked: list[Asked], among: Sequence[int] | None = None
) -> dict[str, object]:
    *figures, count = recall(index, asked, among)
    return {"set": name, "question": question, "questions": count, **dict(zip(FIGURES, figures, strict=True))}


def extracted(folder: Path) -> Source:
    out = Path(tempfile.mkdtemp(prefix="retrieval-"))
    extract_folder(str(folder), out)
    return open_source(out, FeaturesParams())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--esc10", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--demo", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    jobs: list[tuple[Path | None, Callable[[Source], list[dict[str, object]]]]] = [
        (options.esc10, measure_esc10), (options.clips, measure_clips)
    ]  # fmt: skip
    rows = [row for folder, measure in jobs if folder for row in measure(extracted(folder))]
    if options.demo:
        rows += measure_demo(open_source(options.demo, FeaturesParams()))
    print("set    question                              n  recall@10  (random)  R-precision  (random)")
    for row in rows:
        values = "  ".join(f"{row[name]:{width}.3f}" for name, width in zip(FIGURES, (9, 8, 11, 8), strict=True))
        wrong = f"  words wrong {row['word error rate']:.3f}" if "word error rate" in row else ""
        print(f"{row['set']:6s} {row['question']:36s} {row['questions']:3d}  {values}{wrong}")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
