"""Fits models of other libraries and keeps their scores; run in the environment of `make peers`.

    var/peers/bin/python -m benchmarks.peer_models TASK.npz FOLDER BUDGET [MODEL ...]

Each model is fitted with every setting of a small grid. Scores of the judged people go to `FOLDER/MODEL-N.npy`,
`[people, items]` float32, and a JSON object to standard output: `{"model", "settings", "seconds", "file",
"over_budget"}`, seconds of fitting it beyond what was told before. No further setting of a model is begun once its
settings have taken BUDGET seconds; those with few epochs come first. Whom or what a model has not met it cannot score:
such people get how often an item was liked, such items come last. A model whose `FOLDER/MODEL.jsonl` is there has been
fitted, and is not fitted again.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.peer_training import DIM, SEED, LightGcn
from benchmarks.ranking import Task

LAST = -1e9
LIGHTGCN_EPOCHS = (10, 20, 40, 60, 90, 120)
"""Where its one training is looked at."""

VBPR_BATCH = 1000
"""Cornac's own 100 makes ten times as many steps of Adam over the whole of every table, and an epoch three times as
long; beyond 1000 nearly all that is left is its sampling, likes one by one."""

Scores = Callable[[np.ndarray], np.ndarray]
Fitted = Iterator[tuple[dict[str, Any], float, Scores]]
"""Settings, seconds of fitting since the last, and what scores users `[n]` as `[n, n_items]`."""


def grid(**values: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    for row in itertools.product(*values.values()):
        yield dict(zip(values, row, strict=True))


def cornac_models(name: str, task: Task, _: Path) -> Fitted:
    """Most popular, EASE, BPR and VBPR of Cornac."""
    from cornac import models
    from cornac.data import Dataset, ImageModality

    data = Dataset.from_uir([(str(user), str(item), 1.0) for user, item in task.train.tolist()], seed=SEED)
    if name == "vbpr":
        ids = [key for key, _ in sorted(data.iid_map.items(), key=lambda pair: pair[1])]
        features = task.features[[int(key) for key in ids]]
        data.add_modalities(item_image=ImageModality(features=features, ids=ids, normalized=True))
        data.item_image.build(id_map=data.iid_map)
    made: dict[str, tuple[Callable[..., Any], Iterator[dict[str, Any]]]] = {
        "mostpop": (lambda: models.MostPop(), grid()),
        "ease": (lambda lamb: models.EASE(lamb=lamb, posB=False), grid(lamb=(10, 30, 100, 300, 1000))),
        "bpr": (lambda **chosen: models.BPR(k=DIM, seed=SEED, num_threads=2, **chosen),
                grid(max_iter=(50, 200, 800), learning_rate=(0.01, 0.05), lambda_reg=(0.001, 0.01))),
        "vbpr": (lambda **chosen: models.VBPR(k=DIM // 2, k2=DIM // 2, batch_size=VBPR_BATCH, seed=SEED,
                                              verbose=False, **chosen),
                 grid(n_epochs=(5, 20), learning_rate=(0.001, 0.005), lambda_w=(0.01, 0.1))),
    }  # fmt: skip
    build, settings = made[name]
    for chosen in settings:
        model = build(**chosen)
        started = time.perf_counter()
        model.fit(data)
        yield chosen, time.perf_counter() - started, cornac_scores(model, data, task)


def cornac_scores(model: Any, data: Any, task: Task) -> Scores:
    items = np.array([int(key) for key, _ in sorted(data.iid_map.items(), key=lambda pair: pair[1])])

    def scores(asked: np.ndarray) -> np.ndarray:
        rows = np.full((len(asked), task.n_items), LAST, np.float32)
        for row, user in enumerate(asked.tolist()):
            if str(user) in data.uid_map:
                rows[row, items] = np.asarray(model.score(data.uid_map[str(user)]))[: len(items)]
        return rows

    return scores


def implicit_models(name: str, task: Task, _: Path) -> Fitted:
    """Alternating least squares, BPR, and item neighbours of implicit."""
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, "blas")  # as the library asks for: its own threads do the work
    ones = np.ones(len(task.train), np.float32)
    likes = sparse.csr_matrix((ones, (task.train[:, 0], task.train[:, 1])), shape=(task.n_users, task.n_items))
    made: dict[str, tuple[Callable[..., Any], Iterator[dict[str, Any]]]] = {
        "als": (lambda **chosen: AlternatingLeastSquares(factors=DIM, random_state=SEED, **chosen),
                grid(alpha=(1.0, 10.0, 40.0), regularization=(0.01, 1.0, 10.0))),
        "implicit_bpr": (lambda **chosen: BayesianPersonalizedRanking(factors=DIM, random_state=SEED, **chosen),
                         grid(iterations=(20, 100, 300), learning_rate=(0.01, 0.05), regularization=(0.01, 0.05))),
        "cosine": (CosineRecommender, grid(K=(20, 100, 500))),
        "bm25": (BM25Recommender, grid(K=(20, 100, 500), B=(0.2, 0.8))),
    }  # fmt: skip
    build, settings = made[name]
    for chosen in settings:
        model = build(**chosen)
        started = time.perf_counter()
        model.fit(likes, show_progress=False)
        seconds = time.perf_counter() - started
        if hasattr(model, "user_factors"):
            yield chosen, seconds, _products(model)
        else:
            yield chosen, seconds, lambda asked, near=model.similarity: (likes[asked] @ near).toarray()


def _products(model: Any) -> Scores:
    return lambda asked: model.user_factors[asked] @ model.item_factors.T


def recbole_lightgcn(_name: str, task: Task, folder: Path) -> Fitted:
    """RecBole's LightGCN, looked at every so many epochs of one training."""
    peer = LightGcn(task, folder, reg_weight=1e-3)
    met = np.unique(task.train[:, 1])
    for begin, end in itertools.pairwise((0, *LIGHTGCN_EPOCHS)):
        seconds = 0.0
        for epoch in range(begin + 1, end + 1):
            seconds += peer.epoch(epoch)
            print(f"  lightgcn: epoch {epoch} of {LIGHTGCN_EPOCHS[-1]}", file=sys.stderr, flush=True)
        yield {"epochs": end}, seconds, _only(peer.scores(), met)


def _only(scores: Scores, items: np.ndarray) -> Scores:
    """Items that were never trained would be ranked by their random start."""

    def limited(asked: np.ndarray) -> np.ndarray:
        rows = scores(asked)
        kept = np.full_like(rows, LAST)
        kept[:, items] = rows[:, items]
        return kept

    return limited


MODELS: dict[str, Callable[[str, Task, Path], Fitted]] = {
    **dict.fromkeys(("mostpop", "ease", "bpr", "vbpr"), cornac_models),
    **dict.fromkeys(("als", "implicit_bpr", "cosine", "bm25"), implicit_models),
    "lightgcn": recbole_lightgcn,
}


def fit(name: str, task: Task, folder: Path, budget: float) -> Iterator[str]:
    """Fits a model with its settings, keeps the scores, and gives what is told of each."""
    popular = np.bincount(task.train[:, 1], minlength=task.n_items).astype(np.float32)
    strangers = ~np.isin(task.judged, task.train[:, 0])
    used = 0.0
    for number, (settings, seconds, scores) in enumerate(MODELS[name](name, task, folder)):
        rows = np.asarray(scores(task.judged), np.float32)
        rows[strangers] = popular
        file = f"{name}-{number}.npy"
        np.save(folder / file, rows)
        used += seconds
        yield json.dumps({"model": name, "settings": settings, "seconds": seconds, "file": file,
                          "over_budget": used > budget})  # fmt: skip
        if used > budget:
            break


def main() -> None:
    task, folder, budget = Task.load(Path(sys.argv[1])), Path(sys.argv[2]), float(sys.argv[3])
    names = [name for name in sys.argv[4:] or MODELS if name != "vbpr" or task.features.shape[1]]
    for place, name in enumerate(names, start=1):
        print(f"{name}, {place} of {len(names)}", file=sys.stderr, flush=True)
        done, lines = folder / f"{name}.jsonl", []
        if done.is_file():
            print(done.read_text(encoding="utf-8"), end="", flush=True)
            continue
        for line in fit(name, task, folder, budget):
            lines.append(line)
            print(line, flush=True)
        done.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
