from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avrec.media import pictures
from avrec.media.decode import decode
from avrec.media.pictures import evenly, spread
from avrec.media.probe import probe_file, probe_many
from avrec.media.sample import (
    PicturePlan,
    Request,
    Sample,
    SoundPlan,
    request_from_bytes,
    request_to_bytes,
    sample_from_bytes,
    sample_to_bytes,
)
from avrec.params import LimitsParams
from tests.media.make import make_clip, make_wav

LIMITS = LimitsParams()


@pytest.fixture(scope="module")
def referred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip in which two frames of three are referred to by no other."""
    return make_clip(tmp_path_factory.mktemp("clips") / "b.mp4", seconds=6.0, fps=25)


def sample_of(path: Path, pictures: PicturePlan | None = None, sound: SoundPlan | None = None) -> Sample:
    return decode(Request(path.name, str(path.parent), pictures, sound), LIMITS)


def test_one_pass_gives_frames_and_sound(tmp_path: Path) -> None:
    sample = sample_of(make_clip(tmp_path / "a.mp4", seconds=3.0), PicturePlan(6, 224, "uniform"), SoundPlan(120.0))
    assert sample.frames.shape == (6, 224, 224, 3)
    assert sample.frames.dtype == np.uint8
    assert np.all(np.diff(sample.frame_times) > 0)
    assert np.allclose(sample.frame_times, evenly(6, 3.0), atol=0.15)
    assert sample.wave.dtype == np.float32
    assert abs(len(sample.wave) / 16_000 - 3.0) < 0.15
    assert (sample.probe.status, sample.missing, sample.damage) == ("ok", {}, {})


def test_sound_alone_and_picture_alone_are_the_same_as_together(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4")
    both = sample_of(clip, PicturePlan(4, 64), SoundPlan(60.0))
    assert np.array_equal(sample_of(clip, PicturePlan(4, 64)).frames, both.frames)
    assert np.array_equal(sample_of(clip, sound=SoundPlan(60.0)).wave, both.wave)


def test_key_frames_are_used_where_there_are_enough(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", seconds=3.0, gop=3)
    sample = sample_of(clip, PicturePlan(4, 64))
    with av.open(str(clip)) as container:
        keys = [float(packet.pts * packet.time_base) for packet in container.demux(video=0) if packet.is_keyframe]
    assert all(np.abs(np.subtract(keys, time)).min() < 1e-3 for time in sample.frame_times)
    uniform = sample_of(clip, PicturePlan(4, 64, "uniform"))
    assert np.allclose(uniform.frame_times, evenly(4, 3.0), atol=0.15)


def test_a_long_file_is_looked_at_by_seeks(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "long.mp4", seconds=150.0, size=(32, 32), gop=20)
    sample = sample_of(clip, PicturePlan(5, 32), SoundPlan(30.0))
    assert np.allclose(sample.frame_times, evenly(5, 150.0), atol=3.0)
    assert len(sample.windows) == 3
    assert np.allclose(sample.windows[:, 1], 160_000, atol=100)
    assert np.allclose(sample.windows[:, 0], [20.0, 70.0, 120.0], atol=0.5)


def test_missing_streams_are_named(tmp_path: Path) -> None:
    mute = sample_of(make_clip(tmp_path / "v.mp4", sound=False), PicturePlan(2, 32), SoundPlan(9.0))
    blind = sample_of(make_clip(tmp_path / "a.mp4", picture=False), PicturePlan(2, 32), SoundPlan(9.0))
    assert mute.missing == {"audio": "no sound"}
    assert blind.missing == {"visual": "no picture"}
    assert (mute.probe.status, blind.probe.status) == ("ok", "ok")


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
@pytest.mark.parametrize(("channels", "codec"), [(1, "pcm_s24le"), (2, "pcm_f32le"), (6, "pcm_s16le"), (1, "pcm_u8")])
def test_any_rate_layout_and_format_becomes_mono_16k(tmp_path: Path, rate: int, channels: int, codec: str) -> None:
    tone = 0.25 * np.sin(2 * np.pi * 440.0 * np.arange(2 * rate) / rate)
    path = make_wav(tmp_path / "t.wav", np.tile(tone, (channels, 1)).astype(np.float32), rate, codec)
    wave = sample_of(path, sound=SoundPlan(10.0)).wave
    assert abs(len(wave) - 32_000) < 200
    spectrum = np.abs(np.fft.rfft(wave[:32_000], 32_000))
    assert abs(int(spectrum.argmax()) / 2 - 440.0) < 2.0


def test_silence_and_not_a_number_are_fine(tmp_path: Path) -> None:
    wave = np.zeros((1, 16_000), np.float32)
    assert not sample_of(make_wav(tmp_path / "s.wav", wave, 16_000), sound=SoundPlan(5.0)).wave.any()
    wave[0, ::7] = np.nan
    wave[0, 1::7] = np.inf
    sample = sample_of(make_wav(tmp_path / "n.wav", wave, 16_000), sound=SoundPlan(5.0))
    assert np.isfinite(sample.wave).all()
    assert sample.damage["audio"] == "sound damaged: 29% of its samples are not numbers"
    assert sample.probe.status == "partial"
    wave[:] = np.nan
    nothing = sample_of(make_wav(tmp_path / "a.wav", wave, 16_000), sound=SoundPlan(5.0))
    assert nothing.probe.status == "refused"
    assert nothing.missing["audio"] == "sound damaged: 100% of its samples are not numbers"


def test_requests_and_samples_travel_unchanged(tmp_path: Path) -> None:
    request = Request("a.mp4", None, PicturePlan(3, 32, "uniform"), SoundPlan(4.5))
    assert request_from_bytes(request_to_bytes(request)) == request
    sample = sample_of(make_clip(tmp_path / "a.mp4"), PicturePlan(3, 32), SoundPlan(5.0))
    import json

    header, body = sample_to_bytes(sample)
    back = sample_from_bytes(json.loads(header), body)
    assert all(np.array_equal(getattr(back, n), getattr(sample, n)) for n in ("frames", "wave", "windows"))
    assert (back.probe, back.missing, back.turned) == (sample.probe, sample.missing, sample.turned)


def test_probe_fills_the_row_of_the_media_table(tmp_path: Path) -> None:
    probe = probe_file(make_clip(tmp_path / "a.mp4"), LIMITS)
    assert (probe.status, probe.width, probe.height, probe.fps) == ("ok", 96, 64, 10.0)
    assert (probe.video_codec, probe.audio_codec, probe.sample_rate, probe.channels) == ("h264", "aac", 22_050, 1)
    assert probe.duration_s == pytest.approx(2.0, abs=0.1)


def test_probe_many_keeps_the_order(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_text("text")
    probes = probe_many(["b.mp4", None, "a.mp4"], str(tmp_path), LIMITS, workers=2)
    assert [probe.status for probe in probes] == ["refused", "none", "ok"]


def test_a_file_behind_a_url_is_read(tmp_path: Path) -> None:
    import zipfile

    clip = make_clip(tmp_path / "a.mp4")
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.write(clip, "a.mp4")
    root = f"zip://::{tmp_path / 'films.zip'}"
    request = Request(f"zip://a.mp4::{tmp_path / 'films.zip'}", root, PicturePlan(2, 32), SoundPlan(5.0))
    assert np.array_equal(decode(request, LIMITS).frames, sample_of(clip, PicturePlan(2, 32)).frames)


def test_spread_takes_the_middle_of_equal_parts() -> None:
    assert spread([1, 2, 3], 5) == [1, 2, 3]
    assert spread(list(range(10)), 2) == [2, 7]


def test_channels_and_rate_may_change_within_a_stream(tmp_path: Path) -> None:
    """One song joined to another, as streams of radio are."""
    parts = [
        make_song(tmp_path / f"{rate}.mp3", rate, layout) for rate, layout in ((44_100, "stereo"), (8_000, "mono"))
    ]
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    wave = sample_of(joined, sound=SoundPlan(9.0)).wave
    assert len(wave) == pytest.approx(2 * 16_000, rel=0.2)
    assert np.abs(wave[-8_000:-4_000]).max() > 0.1


def make_song(path: Path, rate: int, layout: str) -> Path:
    """One second of a tone as MP3."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout=layout)
        tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.tile(tone, (stream.layout.nb_channels, 1)), format="fltp", layout=layout)
        frame.sample_rate = rate
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def test_a_recording_may_begin_hours_after_nought(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "late.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 32
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 25 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = 360_000 + number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    sample = sample_of(tmp_path / "late.mkv", PicturePlan(2, 32))
    assert sample.probe.duration_s == pytest.approx(1.0, abs=0.2)
    assert len(sample.frames) == 2


@pytest.mark.parametrize("count", [1, 6, 40])
def test_frames_are_the_same_where_those_nobody_needs_are_left_out(
    referred: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = sample_of(referred, PicturePlan(count, 64, "uniform"))
    with av.open(str(referred)) as container:
        container.streams.video[0].codec_context.skip_frame = "NONREF"
        assert sum(1 for _ in container.decode(video=0)) < 100  # of 150: there is something to leave out
    monkeypatch.setattr(pictures, "SKIPPING", frozenset())
    whole = sample_of(referred, PicturePlan(count, 64, "uniform"))
    assert np.array_equal(few.frame_times, whole.frame_times)
    assert np.array_equal(few.frames, whole.frames)
