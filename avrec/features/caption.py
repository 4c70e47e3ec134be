"""A description of an item in a few words, put together by rules from what was found in it.

It says only what the networks were sure of (`SURE`): an item of which nothing is certain is described by its length and
look alone. Equal findings give equal words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from avrec.features.base import Vectors

SURE = 0.5
"""Mean probability from which a picture's name, and probability in a moment from which a sound's name, is said."""
AGREED = 0.25
"""Probability from which a group of pictures is said whose kind is certainly heard."""
LONG_ENOUGH = 2
LARGE_ENOUGH = 0.05
"""Segments, and their share, in which a sound must be sure, so that one click does not become a word."""
MOST_NAMES = 3
MOST_TITLE = 80
MOST_WORDS = 14
SAID_ANYWAY = frozenset({"Inside, small room", "Inside, large room or hall", "Outside, urban or manmade",
                         "Outside, rural or natural", "Sound effect"})  # fmt: skip
"""Sounds' names that tell nothing of what an item is about."""
GENERIC = {
    "Animal": ("bark", "bird", "cat", "chicken", "cow", "crow", "dog", "duck", "frog", "goat", "horse", "insect",
               "pig", "rooster", "sheep", "cricket", "owl", "pigeon"),
    "Domestic animals, pets": ("bark", "cat", "dog", "meow", "purr"),
    "Wild animals": ("bird", "crow", "frog", "insect", "owl", "roar"),
    "Livestock, farm animals, working animals": ("chicken", "cow", "goat", "horse", "pig", "rooster", "sheep"),
    "Vehicle": ("aircraft", "boat", "bus", "car", "engine", "helicopter", "motorcycle", "train", "truck"),
    "Noise": ("white noise", "pink noise", "static"),
}  # fmt: skip
"""Names that are left out where a narrower one that holds one of these words is said."""

KIND_SOUNDS = {
    "animal": frozenset(
        {"Animal", "Domestic animals, pets", "Wild animals", "Livestock, farm animals, working animals"}
    ),
    "vehicle": frozenset({"Vehicle", "Motor vehicle (road)", "Aircraft", "Boat, Water vehicle", "Rail transport"}),
}
"""Kinds of things, and the sounds' names that say the same of what is heard."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one item.

    Attributes:
        kind: video or recording, as the thing is called.
        duration_s: Length; None where unknown.
        pictures: Names that are sure, best first.
        sounds: Names that are sure with the share of the time they are heard, longest first.
        look: `colourfulness`, `brightness` and `motion` of `avrec.schema.SIGNALS`.
        title, tags, transcript: As they are; empty where there are none.
    """

    kind: str = "video"
    duration_s: float | None = None
    pictures: tuple[str, ...] = ()
    sounds: tuple[tuple[str, float], ...] = ()
    look: dict[str, float | None] = field(default_factory=dict)
    title: str = ""
    tags: tuple[str, ...] = ()
    transcript: str = ""


def sure_pictures(
    scores: Vectors, names: Sequence[str], groups: Mapping[str, tuple[int, ...]], heard: Iterable[str] = ()
) -> tuple[str, ...]:
    """Names that are certain in the frames `[n, classes]`, at most `MOST_NAMES`; single classes first, then groups.

    Certain is a mean over the frames of `SURE`. Of a widest kind (`KIND_SOUNDS`) it is the mean over the better half of
    the frames, since what a film is about need not be in view all the time; and of a group whose kind is also certain
    among the sounds `heard`, `AGREED` over that half: two networks that know nothing of each other say the same.
    A group gives way to a certain part of it.
    """
    if not len(scores):
        return ()
    mean, half = scores.mean(axis=0), np.sort(scores, axis=0)[len(scores) // 2 :].mean(axis=0)
    agreed = {name for kind in _heard_kinds(heard) for name in groups if set(groups[name]) <= set(groups.get(kind, ()))}

    def certain(i: int, name: str) -> bool:
        if name in agreed:
            return bool(half[i] >= AGREED)
        return bool((half if name in KIND_SOUNDS else mean)[i] >= SURE)

    sure = [i for i, name in enumerate(names) if certain(i, name)]
    members = {i: frozenset(groups.get(names[i], (i,))) for i in sure}
    kept = [i for i in sure if not any(members[j] < members[i] for j in sure)]
    return tuple(names[i] for i in sorted(kept, key=lambda i: (names[i] in groups, -mean[i])))[:MOST_NAMES]


def _heard_kinds(heard: Iterable[str]) -> list[str]:
    said = set(heard)
    return [kind for kind, sounds in KIND_SOUNDS.items() if said & sounds]


def sure_sounds(scores: Vectors, names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Names with at least `SURE` in enough of the segments `[n, classes]`, and the share of segments that is."""
    if not len(scores):
        return ()
    heard = scores >= SURE
    counts: npt.NDArray[np.int64] = heard.sum(axis=0)
    least = min(max(LONG_ENOUGH, math.ceil(LARGE_ENOUGH * len(scores))), len(scores))
    order = np.lexsort((-scores.mean(axis=0), -counts))
    sure = [int(i) for i in order if counts[i] >= least and names[i] not in SAID_ANYWAY]
    said = [names[i].lower() for i in sure]
    kept = [i for i in sure if not _said_better(names[i], said)][:MOST_NAMES]
    return tuple((names[i], float(counts[i]) / len(scores)) for i in kept)


def _said_better(name: str, said: Sequence[str]) -> bool:
    return any(word in other.split(",")[0] for word in GENERIC.get(name, ()) for other in said if other != name.lower())


def describe(evidence: Evidence) -> str:
    """One to four short sentences.

    Example:
        ```python
        describe(Evidence(duration_s=12.0, sounds=(("Dog", 0.8),)))  # "A 12-second video. Heard: dog."
        ```
    """
    sentences = [f"{_opening(evidence)}."]
    if evidence.pictures:
        sentences.append(f"Seen: {', '.join(map(_plain, evidence.pictures))}.")
    if evidence.sounds:
        sentences.append(f"Heard: {_heard(evidence.sounds)}.")
    if evidence.transcript.strip():
        sentences.append(f"Said: “{_first_words(evidence.transcript)}”")
    if evidence.title.strip():
        sentences.append(f"Title: “{_cut(evidence.title)}”.")
    if evidence.tags:
        sentences.append(f"Tags: {', '.join(_cut(tag) for tag in evidence.tags[:5])}.")
    return " ".join(sentences)


def _opening(evidence: Evidence) -> str:
    look = " and ".join(looks(evidence.look)) if evidence.kind == "video" else ""
    words = [length(evidence.duration_s), look, evidence.kind]
    text = " ".join(word for word in words if word)
    return f"An {text}" if text[0] in "aeiou8" else f"A {text}"


def length(seconds: float | None) -> str:
    """`12-second`, `3-minute`, `2-hour`; empty where unknown."""
    if not seconds or not np.isfinite(seconds) or seconds < 0:
        return ""
    for unit, name in ((3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * unit:
            return f"{round(seconds / unit)}-{name}"
    return f"{max(1, round(seconds))}-second"


def looks(look: dict[str, float | None]) -> list[str]:
    """At most two words for what is plain to see: light, colour, movement."""
    words = []
    colour, light, motion = (look.get(name) for name in ("colourfulness", "brightness", "motion"))
    if colour is not None and colour < 0.02:
        words.append("black-and-white")
    elif colour is not None and colour > 0.3:
        words.append("vivid")
    if light is not None and (light < 0.2 or light > 0.75):
        words.append("dark" if light < 0.2 else "bright")
    if motion is not None and (motion < 0.01 or motion > 0.2):
        words.append("still" if motion < 0.01 else "fast-changing")
    return words[:2]


def _heard(sounds: Sequence[tuple[str, float]]) -> str:
    often = [_plain(name) for name, share in sounds if share >= 0.5]
    at_times = [_plain(name) for name, share in sounds if share < 0.5]
    parts = [", ".join(often), f"at times {', '.join(at_times)}" if at_times else ""]
    return "; ".join(part for part in parts if part)


def _plain(name: str) -> str:
    """AudioSet joins synonyms by commas and ImageNet explains in brackets; the first word is the plainest."""
    return name.split(",")[0].split("(")[0].split("/")[0].strip().lower()


def _first_words(text: str) -> str:
    words = text.split()
    return _cut(" ".join(words[:MOST_WORDS]) + ("…" if len(words) > MOST_WORDS else ""))


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MOST_TITLE else flat[: MOST_TITLE - 1].rstrip() + "…"
