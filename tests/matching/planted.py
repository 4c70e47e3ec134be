"""A small world with a plan: people like topics, items look, sound and read like theirs. Made for tests alone."""

from __future__ import annotations

import numpy as np

from avrec.features.base import Features
from avrec.matching.base import Matcher
from avrec.matching.data import Catalog, Histories, Interactions
from avrec.matching.loading import Split

DAY = 86_400
START = 1_700_000_000


def planted_catalog(items: int = 80, topics: int = 5, seed: int = 3) -> Catalog:
    """Item `i` is about topic `i % topics`; every modality says so with noise, and some are missing."""
    rng = np.random.default_rng(seed)
    topic = np.arange(items) % topics
    features = {}
    for i, (name, dim) in enumerate((("visual", 12), ("audio", 8), ("text", 10))):
        vectors = rng.normal(size=(topics, dim))[topic] + 0.4 * rng.normal(size=(items, dim)) + 1.0
        present = (np.arange(items) + i) % 7 > 0
        features[name] = Features(name, np.where(present[:, None], vectors, 0).astype(np.float32), present)
    published = START + rng.integers(0, 40, items) * DAY
    return Catalog(
        tuple(f"item{i:03d}" for i in range(items)), published.astype(np.int64), topic.astype(np.int32),
        np.full(items, -1, np.int32), ("video",) * items, features, planted_entities(topic.tolist()),
    )  # fmt: skip


def planted_entities(topics: list[int]) -> dict[str, list[tuple[str, ...]]]:
    """Two creators and a tag a topic, a tag that says nothing, and items of which nothing is known."""
    return {
        "creator": [(f"creator{topic}-{i % 2}",) if i % 4 else () for i, topic in enumerate(topics)],
        "tag": [("video", f"topic{topic}") if i % 6 else () for i, topic in enumerate(topics)],
        "heard": [(f"sound{topic}",) if i % 3 else () for i, topic in enumerate(topics)],
    }


def planted_split(catalog: Catalog, users: int = 90, seed: int = 5) -> Split:
    """Every person likes two topics; the last tenth of the items is new: nobody met them in training."""
    rng = np.random.default_rng(seed)
    n, new = len(catalog), len(catalog) // 10
    topics = int(catalog.category.max()) + 1
    rows = []
    for user in range(users):
        taste = rng.choice(topics, 2, replace=False)
        liked = np.isin(catalog.category, taste)
        odds = np.where(liked, 1.0, 0.06) / (1 + np.arange(n) % 13)
        for _ in range(14):
            day = rng.integers(0, 50)
            open_to = odds * (np.arange(n) < n - new) if day < 40 else odds * np.where(np.arange(n) < n - new, 1, 6)
            item = rng.choice(n, p=open_to / open_to.sum())
            rows.append((START + day * DAY + int(rng.integers(DAY)), user, item, 1 if liked[item] else -1))
    time, user, item, label = np.array(sorted(rows)).T
    part = np.searchsorted(time, [START + 40 * DAY, START + 45 * DAY])
    names = tuple(f"user{i}" for i in range(users))
    whole = Interactions(user.astype(np.int32), item.astype(np.int32), time.astype(np.int64), label.astype(np.int8),
                         np.ones(len(time), np.float32), names)  # fmt: skip
    place = np.arange(len(time))
    return Split(
        whole.where(place < part[0]), whole.where((place >= part[0]) & (place < part[1])), whole.where(place >= part[1])
    )


def new_items_in_order(matcher: Matcher, catalog: Catalog, split: Split) -> float:
    """How often a new item of the topic somebody likes is put before a new item of another topic."""
    met = np.isin(np.arange(len(catalog)), split.train.item)
    wins = []
    for topic in range(5):
        same = catalog.category == topic
        scores = matcher.score(Histories.of([np.flatnonzero(met & same)[:8].tolist()]))[0]
        wins.append(scores[~met & same][:, None] > scores[~met & ~same][None, :])
    return float(np.mean(np.concatenate([w.ravel() for w in wins])))
