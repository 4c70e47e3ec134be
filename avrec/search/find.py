"""Answering a question from an index: each channel gives evidence between 0 and 1, and evidence adds up.

In words a question is compared with what is written and said, and with the names of sounds and pictures: how near a
name is to the question, times how sure the network is that it is there. A picture or a sound is compared with moments
of its own kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from avrec.errors import DataError
from avrec.features.base import Vectors
from avrec.features.encoder import Encoder, multilingual
from avrec.schema import SEMANTIC
from avrec.search.index import Channel, SearchIndex
from avrec.search.projection import unit

MOST_TEXT = 500
LARGEST_K = 1000
SHARPNESS = 0.05
"""Temperature at which names share the attention of a question."""
NEAR = 0.35
"""Similarity below which a name has nothing to do with a question."""
DEPTH = 2000
"""Moments a channel looks at, at least 20 an answer."""
PROJECTED = 0.25
"""Weight of the learned projections beside names and words: they guess."""
_PARTS = re.compile(r"[,;，；、。]|\b(?:and|with|in|on|near|by|of|the|a|an)\b|[和与在的里]|以及", re.IGNORECASE)

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """What is looked for: any of these together.

    Attributes:
        text: Words, in a language of the encoder.
        audio, visual: Moments of an example `[n, dim]`, as the extractors give them.
        semantic: The example as the encoder of whole items reads it `[n, dim]`.
        like: Id of an item; others like it are looked for.
        without: Words for what must not be heard or seen.
        calm: 1: little movement is preferred; -1: much; 0: whatever.
        media_types: Kinds that may be listed; empty: all.
    """

    text: str = ""
    audio: Vectors | None = None
    visual: Vectors | None = None
    semantic: Vectors | None = None
    like: str | None = None
    without: tuple[str, ...] = ()
    calm: int = 0
    media_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hit:
    """One answer: the item, and the moment in it that speaks most for it.

    Attributes:
        channel: The channel in which it was found.
        why: In words: `heard: rain`, `said`, `words`, ...
    """

    item_id: str
    title: str
    description: str
    score: float
    start_s: float
    end_s: float
    channel: str
    why: str


@dataclass
class _Found:
    """Evidence by item, and the best moment of each."""

    scores: Scores
    best: dict[int, tuple[float, str, int]] = field(default_factory=dict)

    def add(self, index: SearchIndex, asked: _Asked, depth: int) -> None:
        """Adds what one channel says. Of a question in parts, half counts how well all of them are met together."""
        if asked.channel not in index.channels or not len(asked.queries):
            return
        parts = np.stack([self._evidence(index, asked, query, depth) for query in asked.queries])
        self.scores += asked.weight * (parts.mean(axis=0) + parts.min(axis=0)) / 2

    def _evidence(self, index: SearchIndex, asked: _Asked, query: Vectors, depth: int) -> Scores:
        """Half of an item's evidence is of the whole, half of its best moment; the moment is where it points."""
        name, channel = asked.channel, index.channels[asked.channel]
        if len(query) != channel.vectors.shape[1]:
            raise DataError(
                f"search: the catalogue's {name} vectors have {channel.vectors.shape[1]} numbers, the question's have "
                f"{len(query)}: made by another network or setting; extract the catalogue again, or ask in words."
            )
        rows, values = channel.nearest(query, depth)
        # A likeness that every item shares says nothing; a probability is what it is.
        values = values - (0.0 if name in index.labels else float(query @ channel.mean))
        whole, part = np.zeros_like(self.scores), np.zeros_like(self.scores)
        has_both = bool(channel.whole.any() and not channel.whole.all())
        for row, value in zip(rows.tolist(), values.tolist(), strict=True):
            if value <= 0:
                break
            item = int(channel.item[row])
            side = whole if channel.whole[row] else part
            side[item] = max(side[item], value)
            if not (has_both and channel.whole[row]):
                self._point(item, asked.weight * value, name, row)
        return np.asarray((whole + part) / 2 if has_both else np.maximum(whole, part), np.float32)

    def _point(self, item: int, value: float, name: str, row: int) -> None:
        if value > self.best.get(item, (0.0, "", 0))[0]:
            self.best[item] = (value, name, row)


@dataclass(frozen=True)
class _Asked:
    """A question as one channel understands it: parts `[n, dim]`, and what its answer weighs."""

    channel: str
    queries: Vectors
    weight: float = 1.0


def find(index: SearchIndex, question: Question, k: int = 10, encoder: Encoder | None = None) -> list[Hit]:
    """The best `k` items, best first; fewer where fewer have anything to do with the question.

    Raises:
        DataError: the question is empty, too long, names an unknown item or is an example of another network's
            vectors, or `k` is out of bounds.
    """
    if not 1 <= k <= LARGEST_K:
        raise DataError(f"k: expected 1 to {LARGEST_K}, got {k}.")
    encoder = encoder or multilingual()
    asked = list(_asked(index, question, encoder))
    if not asked:
        raise DataError("search: there is nothing to look for; give words, a picture, a sound, or an item it is like.")
    found = _Found(np.zeros(index.items.num_rows, np.float32))
    for each in asked:
        found.add(index, each, max(DEPTH, 20 * k))
    scores = _adjusted(index, question, found.scores, encoder)
    order = np.argsort(-scores, kind="stable")[: min(k, len(scores))]
    return [_hit(index, int(item), float(scores[item]), found, question, encoder) for item in order if scores[item] > 0]


def _asked(index: SearchIndex, question: Question, encoder: Encoder) -> Iterable[_Asked]:
    if question.text.strip():
        if len(question.text) > MOST_TEXT:
            raise DataError(f"search: expected at most {MOST_TEXT} characters of text, got {len(question.text)}.")
        words = encoder.encode([question.text])
        yield _Asked("words", words)
        yield _Asked("said", words)
        for name in index.label_words:
            yield _Asked(name, attention(index.label_words[name], question.text, encoder))
        yield _Asked("sound", words, PROJECTED)
        yield _Asked("picture", words, PROJECTED)
    examples = (("audio", question.audio), ("visual", question.visual), (SEMANTIC, question.semantic))
    for name, moments in examples:
        if moments is not None and len(moments):
            yield _Asked(name, unit(unit(moments).mean(axis=0))[None])
    if question.like is not None:
        yield from _like(index, question.like)


def _like(index: SearchIndex, item_id: str) -> Iterable[_Asked]:
    if item_id not in index.row_of:
        raise DataError(f"search: item '{item_id}' is not in the catalogue.")
    item = index.row_of[item_id]
    for name in ("audio", "visual", "words", SEMANTIC):
        if name in index.channels:
            channel = index.channels[name]
            rows = (channel.item == item) & channel.whole
            if rows.any():
                yield _Asked(name, unit(channel.vectors[rows].astype(np.float32).mean(axis=0))[None])


def attention(words: Vectors, text: str, encoder: Encoder) -> Vectors:
    """How much each part of a question is about each name `[parts, classes]`, by nearness.

    A question that falls into parts is these parts ("dog barking", "rain"); a part that is near no name has no row.
    """
    found = (part.strip() for part in _PARTS.split(text))
    parts = list(dict.fromkeys(part for part in found if len(part) > 1 or _cjk(part)))
    shares = [share for query in encoder.encode(parts) if len(share := _share(words, query))]
    if len(shares) < 2:
        whole = _share(words, encoder.encode([text])[0])
        shares = [whole] if len(whole) else shares
    return np.stack(shares) if shares else np.zeros((0, len(words)), np.float32)


def _share(words: Vectors, query: Vectors) -> Vectors:
    nearness = words @ query
    best = float(nearness.max())
    if best < NEAR:
        return np.zeros(0, np.float32)
    powers = np.exp((nearness - best) / SHARPNESS)
    return np.asarray(best * powers / powers.sum(), np.float32)


def _cjk(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def _adjusted(index: SearchIndex, question: Question, scores: Scores, encoder: Encoder) -> Scores:
    """What was asked not to be there is left out; how much moves counts where that was asked."""
    scores = scores.copy()
    if question.media_types:
        kinds = np.array(index.items["media_type"].to_pylist())
        scores[~np.isin(kinds, question.media_types)] = 0.0
    for words in question.without:
        for name in index.label_words:
            unwanted = attention(index.label_words[name], words, encoder)
            if len(unwanted) and name in index.channels:
                scores[_present(index.channels[name], unwanted.max(axis=0), len(scores))] = 0.0
    if question.calm:
        motion = np.array([0.1 if m is None else m for m in index.items["motion"].to_pylist()], np.float32)
        scores *= np.exp(-question.calm * (motion - 0.1) * 2).astype(np.float32)
    if question.like is not None:
        scores[index.row_of[question.like]] = 0.0
    return scores


def _present(channel: Channel, unwanted: Vectors, items: int) -> npt.NDArray[np.bool_]:
    """Items in which one of the unwanted names is likelier than not for a tenth of the time."""
    names = np.flatnonzero(unwanted > 0.1 * unwanted.max())
    there = (channel.vectors[:, names].max(axis=1) >= 0.5) & ~channel.whole
    counts = np.bincount(channel.item[there], minlength=items)
    lengths = np.bincount(channel.item[~channel.whole], minlength=items)
    present: npt.NDArray[np.bool_] = counts > 0.1 * lengths
    return present


def _hit(index: SearchIndex, item: int, score: float, found: _Found, question: Question, encoder: Encoder) -> Hit:
    row = {name: index.items[name][item].as_py() for name in ("item_id", "title", "description")}
    _, name, place = found.best.get(item, (0.0, "", -1))
    start, end = (0.0, 0.0)
    if name:
        channel = index.channels[name]
        start, end = float(channel.start[place]), float(channel.end[place])
    return Hit(
        row["item_id"], row["title"] or "", row["description"] or "", score, start, end, name,
        _why(index, name, place, question, encoder),
    )  # fmt: skip


def _why(index: SearchIndex, name: str, place: int, question: Question, encoder: Encoder) -> str:
    if name not in index.labels:
        return {"words": "its words", "said": "what is said", "audio": "sounds alike", "visual": "looks alike",
                "sound": "its sound", "picture": "its picture", SEMANTIC: "goes alike"}.get(name, "")  # fmt: skip
    shares = attention(index.label_words[name], question.text, encoder).max(axis=0)
    label = int(np.argmax(shares * index.channels[name].vectors[place].astype(np.float32)))
    return f"{name}: {index.labels[name][label].split(',')[0].lower()}"


def as_json(hits: Sequence[Hit]) -> list[Mapping[str, object]]:
    """Hits as JSON values, ranks from 1."""
    return [{"rank": rank, **hit.__dict__} for rank, hit in enumerate(hits, 1)]
