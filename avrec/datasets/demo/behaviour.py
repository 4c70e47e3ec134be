"""What demo people do: sessions of shown items, what they watch of them, and what they write. Frozen with `taste`.

Exposure is not random, as it never is: each session shows a mix of what trends, what is new, what the person searches
for, and a random rest; positions further down are looked at less. What is looked at plays, and the watched share tells
the affinity of that moment, with noise. A category seen twice in a session tires.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avrec.datasets.demo.catalogue import Catalogue, Ints, Reals
from avrec.datasets.demo.taste import Taste
from avrec.datasets.demo.words import BLAME, NEUTRAL, PRAISE, SUBTOPICS

DAY = 86_400.0
SHOWN = 7
LOOKED_AT = 4.9
"""Expected number of items looked at in a session of `SHOWN`; sets how many sessions a person has."""

CHANNELS = {"trending": 0.25, "new": 0.15, "search": 0.40, "random": 0.20}
FRESH_DAYS = 6.0
TREND_HALF_LIFE = 10.0

Row = dict[str, Any]


@dataclass
class Log:
    """Rows as they happen; instants in seconds after the start of the period."""

    interactions: list[Row] = field(default_factory=list)
    impressions: list[Row] = field(default_factory=list)
    comments: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Session:
    start: float
    user: int


class Simulation:
    """Everyone's sessions in the order of time, so that what trends depends on what happened before."""

    def __init__(self, catalogue: Catalogue, taste: Taste, days: int, seed: int) -> None:
        self.catalogue, self.taste, self.days = catalogue, taste, days
        self.rng = np.random.default_rng([seed, 4])
        n_users, n_items = taste.early.shape
        self.seen = np.zeros((n_users, n_items), dtype=bool)
        self.heat = np.exp(0.9 * catalogue.quality)
        self.heated_at = 0.0
        self.log = Log()

    def run(self, per_user: float) -> tuple[Log, Reals]:
        """Plays all sessions. Returns the log and when everyone joined, in days `[n_users]`."""
        joined, sessions = self._sessions(per_user)
        for session in sessions:
            self._play(session)
        return self.log, joined

    def _sessions(self, per_user: float) -> tuple[Reals, list[Session]]:
        """A skewed number of sessions a person, most of them in the evening."""
        n_users, rng = len(self.seen), self.rng
        sigma = 0.7
        wanted = per_user * rng.lognormal(-(sigma**2) / 2, sigma, n_users)
        joined = np.where(
            rng.random(n_users) < 0.7, rng.uniform(-90, 0, n_users), rng.uniform(0, 0.85, n_users) * self.days
        )
        sessions = []
        for user in range(n_users):
            count = max(1, round(float(wanted[user]) / LOOKED_AT))
            day = np.floor(rng.uniform(max(0.0, float(joined[user])), self.days - 0.5, count))
            hour = np.clip(rng.normal(19.5, 3.0, count), 0.2, 23.4)
            sessions += [Session(float(d * DAY + h * 3600), user) for d, h in zip(day, hour, strict=True)]
        return joined, sorted(sessions, key=lambda session: (session.start, session.user))

    def _play(self, session: Session) -> None:
        """Shows a few items, one after the other."""
        day = session.start / DAY
        affinity = self.taste.at(session.user, day / self.days)
        shown = self._slate(session.user, day, affinity)
        moment, categories = session.start, [0] * 64
        for position, item in enumerate(shown):
            moment += float(self.rng.uniform(1.0, 4.0))
            looked_at = self.rng.random() < 1.0 / (1.0 + 0.16 * position)
            outcome = "ignored"
            if looked_at:
                tired = 0.25 * categories[self.catalogue.topic[item]]
                categories[self.catalogue.topic[item]] += 1
                outcome, watched = self._watch(session.user, int(item), moment, float(affinity[item]) - tired)
                moment += watched
            self.log.impressions.append({"user": session.user, "item": int(item), "at": moment, "rank": position + 1,
                                         "outcome": outcome})  # fmt: skip

    def _slate(self, user: int, day: float, affinity: Reals) -> Ints:
        """Items to show, drawn without replacement from the mix of channels."""
        self._cool(day)
        age = day - self.catalogue.published
        # Now and then something already seen comes up again.
        open_ = (age > 0) & (~self.seen[user] | (self.rng.random(len(age)) < 0.02))
        draw = {
            "trending": self.heat,
            "new": np.exp(-np.maximum(age, 0) / FRESH_DAYS),
            "search": np.exp(2.0 * affinity),
            "random": np.ones_like(affinity),
        }
        mix = np.zeros_like(affinity)
        for channel, share in CHANNELS.items():
            weight = np.where(open_, draw[channel], 0.0)
            mix += share * weight / max(float(weight.sum()), 1e-12)
        keys = np.log(np.maximum(mix, 1e-300)) + self.rng.gumbel(size=len(mix))
        keys[~open_] = -np.inf
        return np.argsort(-keys, kind="stable")[: min(SHOWN, int(open_.sum()))]

    def _cool(self, day: float) -> None:
        self.heat *= 0.5 ** ((day - self.heated_at) / TREND_HALF_LIFE)
        self.heated_at = day
        np.maximum(self.heat, 0.05, out=self.heat)

    def _watch(self, user: int, item: int, moment: float, affinity: float) -> tuple[str, float]:
        """One play: how much was watched, what was done, what was written. Returns event and seconds."""
        rng = self.rng
        felt = affinity + 0.5 * rng.normal()
        ratio = float(np.clip(1.25 / (1.0 + np.exp(-2.2 * (felt - 0.35))) + 0.05 * rng.normal(), 0.0, 1.6))
        event = self._event(ratio, felt)
        label, weight = judge(event, ratio)
        watched = ratio * float(self.catalogue.duration[item])
        self.seen[user, item] = True
        if label == "positive":
            self.heat[item] += 1.0
        self.log.interactions.append({"user": user, "item": item, "at": moment, "event": event, "watch_ratio": ratio,
                                      "label": label, "weight": weight})  # fmt: skip
        if rng.random() < 0.06:
            text = self._comment(item, felt)
            self.log.comments.append({"user": user, "item": item, "at": moment + watched + 20.0, "text": text})
        return event, watched

    def _event(self, ratio: float, felt: float) -> str:
        draw = self.rng.random()
        if ratio > 0.8 and draw < 0.22:
            return ("like", "like", "share", "save")[int(self.rng.integers(4))]
        if ratio < 0.2:
            return "dislike" if felt < -1.2 and draw < 0.1 else "skip"
        return "finish" if ratio >= 0.95 else "view"

    def _comment(self, item: int, felt: float) -> str:
        mood = felt + 0.4 * self.rng.normal()
        choices = PRAISE if mood > 0.5 else BLAME if mood < -0.5 else NEUTRAL
        name, terms = SUBTOPICS[int(self.catalogue.subtopic[item])]
        text = choices[int(self.rng.integers(len(choices)))]
        return text.format(name=name, term=terms[int(self.rng.integers(len(terms)))])


def judge(event: str, ratio: float) -> tuple[str, float]:
    """Label and weight: an act speaks louder than a watched share; in between nothing is known."""
    if event in ("like", "share", "save"):
        return "positive", 1.0
    if event in ("skip", "dislike"):
        return "negative", 1.0 if event == "dislike" else 0.9
    if ratio >= 0.7:
        return "positive", 0.8
    if ratio < 0.25:
        return "negative", 0.6
    return "unknown", 0.3
