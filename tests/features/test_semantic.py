"""Sequences of segments, and what is learned from their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avrec.errors import DataError
from avrec.features.semantic import SemanticEncoder
from avrec.features.semantic_folder import ENCODER, INFO, WEIGHTS
from avrec.features.tokens import MOST_A_MODALITY, Basis, Item, Segments, mean_pooled
from avrec.params import SemanticParams
from avrec.search.examples import as_whole

DIM, N = 12, 24
TINY = SemanticParams(encoder="transformer", dim=16, blocks=1, heads=2, epochs=40, batch_size=12, learning_rate=5e-3)


def segments(rng: np.random.Generator, count: int, about: int) -> Segments:
    vectors = rng.normal(0, 0.3, (count, DIM)).astype(np.float32)
    vectors[:, about] += 1.0
    starts = np.arange(count, dtype=np.float32)
    return Segments(vectors, starts, starts + 1)


def catalogue() -> list[Item]:
    """Items of four kinds: a picture and a sound that go together; one lacks sound, one has neither."""
    rng = np.random.default_rng(0)
    items: list[Item] = [{"visual": segments(rng, 3, i % 4), "audio": segments(rng, 4, 4 + i % 4)} for i in range(N)]
    return [*items, {"visual": segments(rng, 3, 0)}, {}]


@pytest.fixture(scope="module")
def losses() -> list[float]:
    return []


@pytest.fixture(scope="module")
def encoder(losses: list[float]) -> SemanticEncoder:
    items = catalogue()
    return SemanticEncoder.fit(items, np.arange(len(items)) < N, TINY, lambda _, loss: losses.append(loss))


def test_segments_stand_in_the_order_of_time() -> None:
    items = catalogue()
    tokens = Basis.fit(items, np.arange(len(items)) < N, width=8).tokens(items).trimmed()
    assert tokens.vectors.shape == (N + 2, 7, 8)
    assert tokens.kind[0].tolist() == [1, 2, 1, 2, 1, 2, 1]
    assert (np.diff(tokens.starts[0]) >= 0).all()
    assert tokens.when[0, -1].tolist() == pytest.approx([0.75, 0.25])
    assert tokens.kind[N].tolist() == [2, 2, 2, 0, 0, 0, 0]
    assert tokens.present.tolist() == [True] * (N + 1) + [False]
    mean = mean_pooled(tokens, 2)
    assert mean.shape == (N + 2, 16)
    assert not mean[N, :8].any() and mean[N, 8:].any()


def test_a_long_item_is_thinned_evenly() -> None:
    long = segments(np.random.default_rng(1), 500, 0).thinned()
    assert len(long.vectors) == MOST_A_MODALITY
    assert (long.starts[0], long.starts[-1]) == (0.0, 499.0)


def test_it_learns_what_goes_together(encoder: SemanticEncoder, losses: list[float]) -> None:
    assert losses[-1] < losses[0] - 1.0
    found = encoder.encode(catalogue())
    assert found.present.tolist() == [True] * (N + 1) + [False]
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx([1.0] * (N + 1) + [0.0], abs=1e-5)
    assert [len(s.vectors) for s in found.segments[N - 1 :]] == [7, 3, 0]
    assert found.segments[0].starts.tolist() == [0, 0, 1, 1, 2, 2, 3]
    kinds = np.arange(N) % 4
    nearest = (found.vectors[:N] @ found.vectors[:N].T - 2 * np.eye(N)).argmax(axis=1)
    assert (kinds[nearest] == kinds).mean() > 0.5


def test_an_item_is_the_same_alone_and_in_any_company(encoder: SemanticEncoder) -> None:
    items = catalogue()
    together = encoder.encode(items)
    for rows in ([5], [5, 0], [9, 3, 5]):
        found = encoder.encode([items[row] for row in rows])
        place = rows.index(5)
        assert np.array_equal(found.vectors[place], together.vectors[5])
        assert np.array_equal(found.segments[place].vectors, together.segments[5].vectors)


def test_what_it_does_not_learn_from_changes_nothing_and_learning_again_is_equal(
    encoder: SemanticEncoder, tmp_path: Path
) -> None:
    others = [*catalogue()[:N], {"visual": segments(np.random.default_rng(5), 9, 3)}]
    again = SemanticEncoder.fit(others, np.arange(N + 1) < N, TINY)
    assert again.save(tmp_path / "again") == encoder.save(tmp_path / "first")


def test_saved_and_loaded_it_says_the_same(encoder: SemanticEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    items = catalogue()
    loaded, known = SemanticEncoder.load(tmp_path).encode(items), encoder.encode(items)
    assert np.array_equal(loaded.vectors, known.vectors)
    data = bytearray((tmp_path / WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / WEIGHTS).write_bytes(bytes(data))
    with pytest.raises(DataError, match=f"is not what {INFO} says"):
        SemanticEncoder.load(tmp_path)
    with pytest.raises(DataError, match="is no semantic encoder"):
        SemanticEncoder.load(tmp_path / "nothing")


def test_an_example_of_a_search_is_read_as_an_item_that_lacks_the_rest(
    encoder: SemanticEncoder, tmp_path: Path
) -> None:
    example = {"audio": catalogue()[0]["audio"]}
    assert as_whole(example, tmp_path) is None  # nothing was encoded here
    encoder.save(tmp_path / ENCODER)
    read = as_whole(example, tmp_path)
    assert read is not None
    assert np.array_equal(read, encoder.encode([example]).vectors)
    assert as_whole({"text": example["audio"]}, tmp_path) is None  # nothing that it reads
    assert as_whole({}, tmp_path) is None
    wider = Segments(np.ones((1, DIM + 1), np.float32), np.zeros(1, np.float32), np.ones(1, np.float32))
    with pytest.raises(DataError, match=f"another network.*audio: expected segments of {DIM}, got {DIM + 1}"):
        as_whole({"audio": wider}, tmp_path)


@pytest.mark.parametrize("kind", ["transformer", "gru", "lstm"])
def test_hidden_segments_and_padding_are_not_looked_at(kind: str) -> None:
    import tensorflow as tf

    from avrec.features.sequence_network import SequenceNetwork

    network = SequenceNetwork(SemanticParams.model_validate({**TINY.model_dump(), "encoder": kind}), 8, 2)
    rng = np.random.default_rng(0)
    vectors = tf.constant(rng.normal(size=(1, 6, 8)), tf.float32)
    numbers = tf.constant([[1, 2, 1, 2, 0, 0]])
    when = tf.constant(rng.random((1, 6, 2)), tf.float32)
    hidden = tf.constant([[False, True, False, False, False, False]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vectors)
        states, pooled = network(vectors, numbers, when, hidden)
        guess, whole = tf.reduce_sum(network.back(states)[:, 1] ** 2), tf.reduce_sum(pooled[:, 0])
    for said in (guess, whole):
        moved = tf.reduce_sum(tf.abs(tape.gradient(said, vectors)), axis=(0, 2)).numpy() > 0
        assert moved.tolist() == [True, False, True, True, False, False]
    # Longer padding: the same item.
    longer = [tf.pad(values, [[0, 0], [0, 3], *[[0, 0]] * (len(values.shape) - 2)])
              for values in (vectors, numbers, when, hidden)]  # fmt: skip
    assert network(*longer)[1].numpy() == pytest.approx(pooled.numpy(), abs=1e-5)


def test_hiding_both_views_of_a_segment_makes_it_no_wrong_answer() -> None:
    import tensorflow as tf

    from avrec.features.sequence_training import masked_loss

    clean = np.eye(4, dtype=np.float32).reshape(2, 2, 4)
    both = tf.constant(np.concatenate([clean, clean]))
    kind, hidden = tf.ones((4, 2), tf.int32), tf.ones((4, 2), tf.bool)
    # Sure and right: only the three other segments compete, each view of them; the twin would cost log 2.
    assert float(masked_loss(both, both, kind, hidden)) == pytest.approx(np.log1p(6 * np.exp(-10)), rel=1e-3)


def test_it_sees_an_order_that_the_mean_cannot() -> None:
    """Two kinds of item have the same segments, one in the reverse order of the other."""
    rng = np.random.default_rng(3)
    items: list[Item] = []
    for number in range(48):
        vectors = rng.normal(0, 0.05, (4, DIM)).astype(np.float32)
        order = [0, 1, 2, 3] if number % 2 else [3, 2, 1, 0]
        vectors[np.arange(4), order] += 1.0
        items.append({"audio": Segments(vectors, np.arange(4, dtype=np.float32), np.arange(1, 5, dtype=np.float32))})
    encoder = SemanticEncoder.fit(items, np.ones(48, bool), TINY.model_copy(update={"epochs": 120, "batch_size": 48}))
    kinds = np.arange(48) % 2

    def right(vectors: object) -> float:
        likeness = np.asarray(vectors) @ np.asarray(vectors).T - 2 * np.eye(48)
        return float((kinds[likeness.argmax(axis=1)] == kinds).mean())

    assert right(encoder.encode(items).vectors) > 0.85
    assert right(mean_pooled(encoder.basis.tokens(items), 1)) < 0.75


def test_a_missing_modality_is_trained_for(encoder: SemanticEncoder) -> None:
    """Without its sound an item is still nearer to itself than to items of another kind."""
    items = catalogue()
    whole, half = encoder.encode(items), encoder.encode([{"visual": item["visual"]} for item in items[:N]])
    likeness = half.vectors @ whole.vectors[:N].T
    kinds = np.arange(N) % 4
    same = kinds[:, None] == kinds
    assert likeness[same].mean() > likeness[~same].mean() + 0.1


def test_what_cannot_be_learned_from_is_said() -> None:
    items = catalogue()
    with pytest.raises(ValueError, match="at least two items with segments, got 0"):
        SemanticEncoder.fit(items, np.arange(len(items)) == N + 1, TINY)
    with pytest.raises(ValueError, match="got none"):
        SemanticEncoder.fit(items, np.ones(len(items), bool), SemanticParams())
