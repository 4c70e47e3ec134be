"""The hidden causes of every demo item, and the words its creator would write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avrec.datasets.demo.words import CATEGORIES, CHINESE, DESCRIPTIONS, MOODS, SUBTOPICS, TITLES

LOOKS = ("rings", "stripes", "checker", "plasma", "dots", "bars", "stars", "grain")
SOUNDS = ("pads", "beat", "bells", "chirps", "rain", "engine", "ticks", "voice")

AGREEMENT = 0.4
"""Share of the items whose look (and, apart from it, sound) is the usual one of their category."""

COLD = 0.15
"""Share of the items that are published in the last days."""

SOUND_ONLY = 0.07
FPS = 12
SIZE = (192, 108)
SAMPLE_RATE = 22_050

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Catalogue:
    """Items as arrays `[n]`.

    Attributes:
        topic, subtopic, look, sound, creator: Codes of the hidden causes.
        quality: How well made it is, standard normal.
        published: Days after the start of the period; negative: before it.
        duration: Seconds, a whole number of frames.
        sound_only, silent: What the file lacks.
        seed: Seed of everything that varies within a look or a sound.
    """

    topic: Ints
    subtopic: Ints
    look: Ints
    sound: Ints
    creator: Ints
    quality: Reals
    published: Reals
    duration: Reals
    sound_only: npt.NDArray[np.bool_]
    silent: npt.NDArray[np.bool_]
    seed: Ints

    def __len__(self) -> int:
        return len(self.topic)

    @property
    def n_creators(self) -> int:
        return creators_for(len(self))

    def item_id(self, index: int) -> str:
        return f"demo-{index:04d}"

    def media_uri(self, index: int) -> str:
        suffix = "m4a" if self.sound_only[index] else "mp4"
        return f"{CATEGORIES[self.topic[index]]}/{self.item_id(index)}.{suffix}"


def creators_for(n: int) -> int:
    return max(6, n // 8)


def make_catalogue(n: int, days: int, seed: int) -> Catalogue:
    """Draws `n` items over `days` days; equal arguments give equal items."""
    rng = np.random.default_rng([seed, 1])
    topic = rng.permutation(np.arange(n) % len(CATEGORIES))
    creator = _creators(topic, rng)
    house_look = rng.integers(len(LOOKS), size=creators_for(n))
    look = _mostly(topic % len(LOOKS), len(LOOKS), rng)
    look = np.where(rng.random(n) < 0.25, house_look[creator], look)
    sound = _mostly((topic * 5 + 3) % len(SOUNDS), len(SOUNDS), rng)
    sound_only = rng.random(n) < SOUND_ONLY
    return Catalogue(
        topic=topic,
        subtopic=topic * 3 + rng.integers(3, size=n),
        look=look,
        sound=sound,
        creator=creator,
        quality=rng.normal(size=n),
        published=_publication(n, days, rng),
        duration=np.round(rng.uniform(4.0, 6.0, n) * FPS) / FPS,
        sound_only=sound_only,
        silent=(rng.random(n) < 0.04) & ~sound_only,
        seed=rng.integers(2**31, size=n),
    )


def _mostly(usual: Ints, kinds: int, rng: np.random.Generator) -> Ints:
    return np.where(rng.random(len(usual)) < AGREEMENT, usual, rng.integers(kinds, size=len(usual)))


def _creators(topic: Ints, rng: np.random.Generator) -> Ints:
    """Creators have a home topic and leave it now and then; some publish far more than others."""
    n = creators_for(len(topic))
    home = np.arange(n) % len(CATEGORIES)
    appetite = rng.gamma(1.0, 1.0, n) + 0.05
    fits = np.where(home[None, :] == topic[:, None], 1.0, 0.03) * appetite[None, :]
    draws = np.cumsum(fits / fits.sum(axis=1, keepdims=True), axis=1)
    return np.asarray(np.minimum((draws < rng.random((len(topic), 1))).sum(axis=1), n - 1), np.int64)


def _publication(n: int, days: int, rng: np.random.Generator) -> Reals:
    """Old stock, a steady stream, and the last days' new items, in a random order of items."""
    cold = max(2, round(COLD * n))
    old = rng.uniform(-0.5 * days, 0.70 * days, n - cold)
    new = rng.uniform(0.82 * days, 0.96 * days, cold)
    return rng.permutation(np.concatenate([old, new]))


def words(catalogue: Catalogue, seed: int) -> list[dict[str, Any]]:
    """Title, description, tags and language of every item.

    The words tell the sub-topic, mostly; a tag or two speaks of the mood, which goes with the sound half of the time.
    """
    rng = np.random.default_rng([seed, 2])
    return [_words_of(catalogue, index, rng) for index in range(len(catalogue))]


def _words_of(catalogue: Catalogue, index: int, rng: np.random.Generator) -> dict[str, Any]:
    subtopic = int(catalogue.subtopic[index])
    if rng.random() < 0.08:  # words that mislead
        subtopic = int(rng.integers(len(SUBTOPICS)))
    name, terms = SUBTOPICS[subtopic]
    first, second, third = (terms[i] for i in rng.permutation(len(terms))[:3])
    chinese = rng.random() < 0.15
    if chinese:
        title = CHINESE[subtopic][int(rng.integers(len(CHINESE[subtopic])))]
    else:
        title = TITLES[int(rng.integers(len(TITLES)))].format(name=name, first=first, second=second)
    description = DESCRIPTIONS[int(rng.integers(len(DESCRIPTIONS)))].format(
        name=name, first=first, second=second, third=third
    )
    mood = int(catalogue.sound[index]) if rng.random() < 0.5 else int(rng.integers(len(MOODS)))
    tags = [name, first, third, MOODS[mood]]
    return {
        "title": None if rng.random() < 0.02 else title,
        "description": None if rng.random() < 0.12 else description,
        "tags": tags[: int(rng.integers(2, 5))] if rng.random() > 0.1 else None,
        "language": "zh" if chinese else "en",
    }
