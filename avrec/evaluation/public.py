"""Public data sets in the form in which they are published, read whole into what matchers learn from.

Their sources in `avrec.datasets` bring the same files through the pipeline; a benchmark needs neither pseudonyms nor
snapshots, and must keep the published order of items and users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avrec.errors import DataError
from avrec.features.base import Features
from avrec.matching.data import Catalog, Interactions
from avrec.matching.loading import concat

LIKED, DISLIKED = 4.0, 2.0
"""MovieLens: stars from which a rating is a like, and up to which it is a dislike; between them it is neither."""

VAL, TEST = 0.1, 0.1
"""MovieLens: shares of the ratings, by time, that are validation and test."""


@dataclass(frozen=True)
class PublicData:
    """A data set with its parts.

    Attributes:
        name: Of the benchmark.
        catalog: Items with the features the data set has.
        train, val: Parts; one user index for all.
        test: None where the folder does not have it.
        known_at_test: What lists for test may be made from and must not repeat.
        protocol: How the parts came about, for the report.
    """

    name: str
    catalog: Catalog
    train: Interactions
    val: Interactions
    test: Interactions | None
    known_at_test: Interactions
    protocol: str


def load_public(name: str, folder: Path) -> PublicData:
    """Reads `tiktok` or `movielens`.

    Raises:
        DataError: the name is unknown, or the folder is not laid out as that data set is.
    """
    if name not in LOADERS:
        raise DataError(f"benchmark '{name}' is unknown; expected one of {', '.join(LOADERS)}.")
    if not folder.is_dir():
        raise DataError(f"--data {folder}: no such folder.")
    return LOADERS[name](folder)


def load_tiktok(folder: Path) -> PublicData:
    """Interactions `user_id,item_id` in `train.csv`, `val.csv` and perhaps `test.csv`; vectors in `*_feat.npy`."""
    pairs = {name: _pairs(folder / f"{name}.csv") for name in ("train", "val")}
    if (folder / "test.csv").is_file():
        pairs["test"] = _pairs(folder / "test.csv")
    given = {"visual": "image_feat.npy", "audio": "audio_feat.npy", "text": "text_feat.npy"}
    vectors = {modality: _vectors(folder / file) for modality, file in given.items() if (folder / file).is_file()}
    highest = max(int(part[:, 1].max()) for part in pairs.values()) + 1
    n_items = max([highest, *(len(v) for v in vectors.values())])
    for modality, v in vectors.items():
        if len(v) < n_items:
            raise DataError(f"{folder / given[modality]}: {len(v)} rows for {n_items} items; expected a row an item.")
    n_users = max(int(part[:, 0].max()) for part in pairs.values()) + 1
    users = tuple(str(user) for user in range(n_users))
    parts = {name: _liked(part, users) for name, part in pairs.items()}
    features = {modality: _features(modality, v) for modality, v in vectors.items()}
    return PublicData(
        "tiktok", _catalog([str(i) for i in range(n_items)], features), parts["train"], parts["val"],
        parts.get("test"), parts["train"], "split as given; training items masked",
    )  # fmt: skip


def load_movielens(folder: Path) -> PublicData:
    """`ratings.csv` and `movies.csv`; one cut through time. Content is the genres and the decade of each movie."""
    movies = _table(folder / "movies.csv", ("movieid", "title", "genres"))
    ratings = _table(folder / "ratings.csv", ("userid", "movieid", "rating", "timestamp"))
    ids = _numbers(movies, "movieid", folder / "movies.csv", np.int64).tolist()
    given = {
        name: _numbers(ratings, name, folder / "ratings.csv", np.int64) for name in ("userid", "movieid", "timestamp")
    }
    time = given["timestamp"]
    order = np.argsort(time, kind="stable")
    names, user = _first_seen(given["userid"][order])
    stars = _numbers(ratings, "rating", folder / "ratings.csv", np.float64)[order]
    item = _places(given["movieid"], ids, folder)[order]
    label = np.where(stars >= LIKED, 1, np.where(stars <= DISLIKED, -1, 0)).astype(np.int8)
    everything = Interactions(user, item, time[order], label, np.ones(len(user), np.float32), names)
    starts = [time[order][int(len(time) * share)] for share in (1 - VAL - TEST, 1 - TEST)]
    part = np.searchsorted(starts, everything.timestamp, side="right")
    train, val, test = (everything.where(part == number) for number in range(3))
    text = _features("text", _genres_and_decades(list(movies["title"]), list(movies["genres"])))
    protocol = f"one cut through time, {1 - VAL - TEST:.0%}/{VAL:.0%}/{TEST:.0%}; likes are {LIKED:g} stars and more"
    catalog = replace(
        _catalog([str(i) for i in ids], {"text": text}), entities={"tag": _genres(list(movies["genres"]))}
    )
    return PublicData("movielens", catalog, train, val, test, concat(train, val), protocol)


def _numbers(
    table: dict[str, list[Any]], column: str, path: Path, kind: type[np.int64] | type[np.float64]
) -> npt.NDArray[Any]:
    try:
        found = np.asarray(table[column], kind)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: expected a number in every row of {column}: {error}") from error
    if not len(found):
        raise DataError(f"{path}: expected at least one row under the header.")
    if not np.isfinite(found).all():
        empty = int(np.flatnonzero(~np.isfinite(found))[0])
        raise DataError(
            f"{path}: expected a number in every row of {column}; row {empty + 1} under the header has none."
        )
    return found


def _places(movies: npt.NDArray[np.int64], ids: list[int], folder: Path) -> npt.NDArray[np.int32]:
    """Rows of `movies.csv`; of a movie without one nothing is known."""
    place = {movie: row for row, movie in enumerate(ids)}
    if unknown := sorted(set(movies.tolist()) - place.keys()):
        raise DataError(
            f"{folder / 'ratings.csv'}: {len(unknown)} rated movies, the first of them {unknown[0]}, have no row in "
            f"{folder / 'movies.csv'}; expected a row for every movieId."
        )
    return np.array([place[movie] for movie in movies.tolist()], np.int32)


LOADERS: dict[str, Callable[[Path], PublicData]] = {"tiktok": load_tiktok, "movielens": load_movielens}


def _pairs(path: Path) -> npt.NDArray[np.int64]:
    values = _table(path, ("user_id", "item_id"))
    try:
        found = np.column_stack([np.asarray(values[name], np.int64) for name in ("user_id", "item_id")])
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: expected whole numbers in user_id and item_id: {error}") from error
    if not len(found) or found.min() < 0:
        raise DataError(f"{path}: expected at least one row, and numbers from 0 in user_id and item_id.")
    return found


def _table(path: Path, columns: tuple[str, ...]) -> dict[str, list[Any]]:
    """Columns of a CSV file by lower-case name."""
    import pyarrow as pa
    from pyarrow import csv

    if not path.is_file():
        raise DataError(f"{path} is missing; expected a CSV file with the columns {', '.join(columns)}.")
    try:
        table = csv.read_csv(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not a CSV file with a header: {error}") from error
    table = table.rename_columns([name.strip().lower() for name in table.column_names])
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise DataError(f"{path}: column {missing[0]} is missing; it has {table.column_names}.")
    return {name: table[name].to_pylist() for name in columns}


def _vectors(path: Path) -> npt.NDArray[np.float32]:
    try:
        # float32 before anything is computed: sums of float16 overflow.
        values: npt.NDArray[np.float32] = np.load(path, allow_pickle=False).astype(np.float32)
    except ValueError as error:
        raise DataError(f"{path} is not an array of numbers: {error}") from error
    if values.ndim != 2:
        raise DataError(f"{path}: expected an array [items, dimensions], got shape {values.shape}.")
    return values


def _features(modality: str, vectors: npt.NDArray[np.float32]) -> Features:
    """Rows that are zero throughout or not finite count as missing."""
    present = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
    return Features(modality, np.where(present[:, None], vectors, 0).astype(np.float32), present)


def _liked(pairs: npt.NDArray[np.int64], users: tuple[str, ...]) -> Interactions:
    n = len(pairs)
    user, item = pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.int32)
    return Interactions(user, item, np.zeros(n, np.int64), np.ones(n, np.int8), np.ones(n, np.float32), users)


def _catalog(ids: list[str], features: dict[str, Features]) -> Catalog:
    unknown = np.full(len(ids), -1, np.int32)
    return Catalog(tuple(ids), np.zeros(len(ids), np.int64), unknown, unknown, ("video",) * len(ids), features)


def _first_seen(users: npt.NDArray[np.int64]) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    names = list(dict.fromkeys(users.tolist()))
    index = {name: i for i, name in enumerate(names)}
    return tuple(str(name) for name in names), np.array([index[user] for user in users.tolist()], np.int32)


def _genres_and_decades(titles: list[str], genres: list[str]) -> npt.NDArray[np.float32]:
    """One column a genre and a decade, 1 where the movie is of it."""
    words = [[*kinds, *_decade(title)] for title, kinds in zip(titles, _genres(genres), strict=True)]
    names = sorted({word for row in words for word in row})
    values = np.zeros((len(titles), max(1, len(names))), np.float32)
    for i, row in enumerate(words):
        values[i, [names.index(word) for word in row]] = 1
    return values


def _genres(genres: list[str]) -> list[tuple[str, ...]]:
    return [tuple(name for name in row.split("|") if name != "(no genres listed)") for row in genres]


def _decade(title: str) -> list[str]:
    year = title.strip()[-5:-1]
    return [f"{year[:3]}0s"] if year.isdigit() and title.strip().endswith(")") else []
