"""Trains models of other libraries and says how good they are when; run in the environment of `make peers`.

    var/peers/bin/python -m benchmarks.peer_training MODEL TASK.npz FOLDER BUDGET

Prints a JSON object a line: `{"epoch", "seconds", "ndcg"}`, seconds of training alone, from the start. RecBole's
LightGCN is read after every epoch; Cornac's models are fitted anew for so many epochs each, since it has no such hook.
None begins what would take it beyond BUDGET seconds of one training.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ranking import Task

K = 20
DIM, LAYERS, SEED = 64, 3, 7
RECBOLE_EPOCHS = 150
RECBOLE_PATIENCE = 15
"""Epochs without a better figure after which RecBole's model is taken to be as good as it gets."""

CORNAC_EPOCHS = {"bpr": (1, 5, 10, 20, 40, 80, 160), "vbpr": (1, 2, 5, 10, 20)}


def say(epoch: int, seconds: float, ndcg: float) -> None:
    print(json.dumps({"epoch": epoch, "seconds": seconds, "ndcg": ndcg}), flush=True)


class LightGcn:
    """RecBole's LightGCN, trained by the epoch, with its own settings but for size, layers and what is named."""

    def __init__(self, task: Task, folder: Path, **settings: Any) -> None:
        from recbole.config import Config
        from recbole.data import create_dataset, data_preparation
        from recbole.model.general_recommender import LightGCN
        from recbole.trainer import Trainer
        from recbole.utils import init_seed

        write_atomic(task, folder / "task")
        config = Config("LightGCN", "task", config_dict={
            "data_path": str(folder), "benchmark_filename": ["train", "valid", "valid"], "embedding_size": DIM,
            "n_layers": LAYERS, "use_gpu": False, "show_progress": False, "checkpoint_dir": str(folder),
            "load_col": {"inter": ["user_id", "item_id"]}, **settings,
        })  # fmt: skip
        logging.disable(logging.CRITICAL)
        init_seed(SEED, True)
        dataset = create_dataset(config)
        self.train, *_ = data_preparation(config, dataset)
        self.model = LightGCN(config, self.train.dataset)
        self.trainer = Trainer(config, self.model)
        self.n_items = task.n_items
        self.users = dataset.token2id("user_id", [str(u) for u in range(task.n_users)])
        self.known = np.unique(np.concatenate([task.train, task.truth])[:, 1])
        self.items = dataset.token2id("item_id", [str(i) for i in self.known])

    def epoch(self, number: int) -> float:
        """Trains once over the data; seconds it took."""
        started = time.perf_counter()
        self.trainer._train_epoch(self.train, number)
        return time.perf_counter() - started

    def scores(self) -> Callable[[np.ndarray], np.ndarray]:
        """What scores users `[n]` as it is now; items RecBole has not met come last."""
        import torch

        with torch.no_grad():
            people, things = (x.detach().numpy() for x in self.model.forward())

        def score(asked: np.ndarray) -> np.ndarray:
            rows = np.full((len(asked), self.n_items), -1e9, np.float32)
            rows[:, self.known] = people[self.users[asked]] @ things[self.items].T
            return rows

        return score


def lightgcn(task: Task, folder: Path, budget: float) -> None:
    """Until nothing better came for a while, or the budget of seconds is used."""
    peer = LightGcn(task, folder)
    seconds, best, best_epoch = 0.0, -1.0, 0
    for epoch in range(1, RECBOLE_EPOCHS + 1):
        seconds += peer.epoch(epoch)
        ndcg = task.ndcg(peer.scores(), K)
        say(epoch, seconds, ndcg)
        if ndcg > best:
            best, best_epoch = ndcg, epoch
        if epoch - best_epoch >= RECBOLE_PATIENCE or seconds * (epoch + 1) / epoch > budget:
            break


def write_atomic(task: Task, folder: Path) -> None:
    """The files that RecBole reads."""
    folder.mkdir(parents=True, exist_ok=True)
    everybody = np.column_stack([np.arange(task.n_users), np.zeros(task.n_users, int)])
    valid = np.concatenate([task.truth, everybody[~np.isin(everybody[:, 0], task.train[:, 0])]])
    for name, pairs in (("train", task.train), ("valid", valid)):
        rows = "".join(f"{user}\t{item}\n" for user, item in pairs.tolist())
        (folder / f"task.{name}.inter").write_text(f"user_id:token\titem_id:token\n{rows}", encoding="utf-8")


def cornac(name: str, task: Task, budget: float) -> None:
    """Cornac's BPR or VBPR, for more and more epochs."""
    from cornac.data import Dataset, ImageModality
    from cornac.models import BPR, VBPR

    triples = [(str(user), str(item), 1.0) for user, item in task.train.tolist()]
    data = Dataset.from_uir(triples, seed=SEED)
    users = np.full(task.n_users, -1)
    items = np.full(task.n_items, -1)
    for mapping, place in ((data.uid_map, users), (data.iid_map, items)):
        for key, value in mapping.items():
            place[int(key)] = value
    known = np.flatnonzero(items >= 0)
    if name == "vbpr":
        ids = [key for key, _ in sorted(data.iid_map.items(), key=lambda pair: pair[1])]
        features = task.features[[int(key) for key in ids]]
        data.add_modalities(item_image=ImageModality(features=features, ids=ids, normalized=True))
        data.item_image.build(id_map=data.iid_map)
    an_epoch = 0.0
    for epochs in CORNAC_EPOCHS[name]:
        if an_epoch * epochs > budget:
            break
        if name == "bpr":
            model = BPR(k=DIM, max_iter=epochs, learning_rate=0.01, lambda_reg=0.001, seed=SEED, num_threads=2)
        else:
            model = VBPR(k=DIM // 2, k2=DIM // 2, n_epochs=epochs, use_gpu=False, seed=SEED, verbose=False)
        started = time.perf_counter()
        model.fit(data)
        seconds = time.perf_counter() - started
        an_epoch = seconds / epochs

        def scores(asked: np.ndarray, model: Any = model) -> np.ndarray:
            rows = np.full((len(asked), task.n_items), -1e9, np.float32)
            for row, user in enumerate(users[asked]):
                if user >= 0:
                    rows[row, known] = model.score(user)[items[known]]
            return rows

        say(epochs, seconds, task.ndcg(scores, K))


if __name__ == "__main__":
    model, task, folder, budget = sys.argv[1], Task.load(Path(sys.argv[2])), Path(sys.argv[3]), float(sys.argv[4])
    lightgcn(task, folder, budget) if model == "lightgcn" else cornac(model, task, budget)
