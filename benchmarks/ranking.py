"""What benchmarks measure models of any library by: plain numpy, so that it runs in any environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BLOCK = 256


@dataclass(frozen=True)
class Task:
    """People whose lists are judged.

    Attributes:
        train: Likes in training, `[n, 2]` user and item.
        truth: Likes to be found, `[m, 2]`.
        n_users, n_items: Sizes.
        features: Item vectors `[n_items, dim]` float32, or `[n_items, 0]`.
    """

    train: np.ndarray
    truth: np.ndarray
    n_users: int
    n_items: int
    features: np.ndarray

    def save(self, path: Path) -> None:
        sizes = np.array([self.n_users, self.n_items])
        np.savez(path, train=self.train, truth=self.truth, sizes=sizes, features=self.features)

    @classmethod
    def load(cls, path: Path) -> Task:
        with np.load(path, allow_pickle=False) as found:
            users, items = found["sizes"].tolist()
            return cls(found["train"], found["truth"], users, items, found["features"])

    @property
    def judged(self) -> np.ndarray:
        """Users with something to be found, ascending."""
        return np.unique(self.truth[:, 0])

    def ndcg(self, scores: Callable[[np.ndarray], np.ndarray], k: int) -> float:
        """Mean NDCG at `k` over the judged people, training items left out, ideal list cut at `k`.

        Args:
            scores: Takes users `[n]`, gives scores `[n, n_items]`.
            k: Length of the lists.
        """
        gains = 1.0 / np.log2(np.arange(k) + 2.0)
        values = []
        for start in range(0, len(self.judged), BLOCK):
            users = self.judged[start : start + BLOCK]
            rows = np.array(scores(users), np.float32)
            rows[self._cells(self.train, users)] = -np.inf
            best = np.argpartition(-rows, k, axis=1)[:, :k]
            order = np.argsort(-np.take_along_axis(rows, best, axis=1), axis=1, kind="stable")
            best = np.take_along_axis(best, order, axis=1)
            wanted = np.zeros(rows.shape, bool)
            wanted[self._cells(self.truth, users)] = True
            wanted &= rows > -np.inf  # who liked it in training already cannot be given it again
            found = np.take_along_axis(wanted, best, axis=1) @ gains
            ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(wanted.sum(axis=1), k)]
            values.append((found / np.maximum(ideal, 1e-12))[ideal > 0])
        return float(np.concatenate(values).mean())

    def _cells(self, pairs: np.ndarray, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mine = pairs[np.isin(pairs[:, 0], users)]
        return np.searchsorted(users, mine[:, 0]), mine[:, 1]
