"""Kinds of files: codecs, pixel and sample formats, rotation, times; written here by the encoders PyAV brings."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avrec.errors import MediaError
from avrec.media.decode import decode
from avrec.media.pictures import evenly
from avrec.media.sample import PicturePlan, Request, Sample, SoundPlan
from avrec.params import LimitsParams
from tests.media.make import make_clip, make_wav

LEFT, RIGHT = (200, 30, 30), (30, 30, 200)


def sample_of(path: Path, plan: PicturePlan | None = None) -> Sample:
    return decode(Request(path.name, str(path.parent), plan or PicturePlan(3, 32), SoundPlan(10.0)), LimitsParams())


def halves(width: int, height: int) -> np.ndarray:
    """Red on the left, blue on the right."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = LEFT, RIGHT
    return picture


def write(path: Path, encoder: str, pixels: str, times: list[int], size: tuple[int, int] = (130, 66)) -> Path:
    """Frames of two halves at the given times, in hundredths of a second; a gop ends where times say."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, 100)
        for time in times:
            frame = av.VideoFrame.from_ndarray(halves(*size), format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = time, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def has_halves(frame: np.ndarray, tolerance: int = 60) -> bool:
    left, right = frame[:, 4:12].reshape(-1, 3).mean(0), frame[:, 20:28].reshape(-1, 3).mean(0)
    return bool(np.abs(left - LEFT).max() < tolerance and np.abs(right - RIGHT).max() < tolerance)


@pytest.mark.parametrize(
    ("name", "encoder", "pixels"),
    [
        ("a.mp4", "libsvtav1", "yuv420p10le"),
        ("h.mp4", "libx265", "yuv420p10le"),
        ("q.mov", "prores_ks", "yuva444p10le"),
        ("9.webm", "libvpx-vp9", "yuv420p"),
        ("8.webm", "libvpx", "yuv420p"),
        ("f.mkv", "ffv1", "yuv444p"),
        ("p.mov", "png", "rgba"),
        ("i.gif", "gif", "rgb8"),
        ("j.avi", "mjpeg", "yuvj422p"),
    ],
)
def test_a_picture_of_any_codec_and_pixel_format(tmp_path: Path, name: str, encoder: str, pixels: str) -> None:
    sample = sample_of(write(tmp_path / name, encoder, pixels, list(range(0, 80, 4))))
    assert len(sample.frames)
    assert all(has_halves(frame) for frame in sample.frames)
    assert (sample.probe.status, sample.missing) == ("ok", {"audio": "no sound"})


@pytest.mark.parametrize("curve", [16, 18], ids=["pq", "hlg"])
def test_a_picture_in_hdr_is_read_without_its_curve(tmp_path: Path, curve: int) -> None:
    path, grey = tmp_path / "hdr.mp4", np.full((64, 128, 3), 128, np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p10le"
        stream.codec_context.color_trc, stream.codec_context.color_primaries = curve, 9
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format="yuv420p10le")
            frame.pts, frame.color_trc, frame.color_primaries = number, curve, 9
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as written:
        assert written.streams.video[0].codec_context.color_trc == curve
    sample = sample_of(path)
    assert sample.probe.status == "ok"
    assert np.abs(sample.frames.astype(int) - 128).max() < 8


def test_a_turned_picture_is_set_upright(tmp_path: Path) -> None:
    """As a phone writes it: stored lying, with a matrix in the track header that turns it by a quarter."""
    data = write(tmp_path / "lying.mp4", "libx264", "yuv444p", list(range(0, 80, 4))).read_bytes()
    upright = np.array([65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30], ">i4").tobytes()
    turned = np.array([0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    at = data.index(upright, data.index(b"tkhd"))
    (tmp_path / "turned.mp4").write_bytes(data[:at] + turned + data[at + len(turned) :])
    sample = sample_of(tmp_path / "turned.mp4")
    assert not any(has_halves(frame) for frame in sample.frames)
    assert all(has_halves(np.rot90(frame)) for frame in sample.frames)
    assert sample.turned and not sample_of(tmp_path / "lying.mp4").turned


def test_a_variable_frame_rate_is_sampled_by_time(tmp_path: Path) -> None:
    times = [*range(0, 100, 4), *range(100, 400, 50)]
    sample = sample_of(write(tmp_path / "v.mkv", "libx264", "yuv420p", times), PicturePlan(4, 32, "uniform"))
    assert np.allclose(
        sample.frame_times, [0.44, 1.5, 2.5, 3.5], atol=0.03
    )  # the first at or after the middle of each quarter


def test_only_runs_with_a_sampled_frame_are_decoded_and_give_the_same_frames(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", seconds=8.0, gop=10)
    whole = make_clip(tmp_path / "b.mp4", seconds=8.0, gop=10)
    data = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for position, size in packets[12:19]:  # between the first two of four targets, 1 s and 3 s
        data[position : position + size] = random.Random(0).randbytes(size)
    clip.write_bytes(data)
    plan = PicturePlan(4, 32, "uniform")
    hurt, sound = sample_of(clip, plan), sample_of(whole, plan)
    assert np.allclose(sound.frame_times, evenly(4, 8.0), atol=0.15)
    assert np.array_equal(hurt.frames[1:], sound.frames[1:])


def film(path: Path, shots: list[int], fps: int = 25) -> Path:
    """Shots of so many frames, each another texture that drifts."""
    noise = np.random.default_rng(5)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 128, 72, "yuv420p"
        for length in shots:
            ground = np.kron(noise.integers(0, 255, (9, 16, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
            for number in range(length):
                frame = av.VideoFrame.from_ndarray(np.roll(ground, number // 4, axis=1), format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_frame_of_each_shot(tmp_path: Path) -> None:
    path = film(tmp_path / "f.mp4", [50, 100, 30, 70])
    sample = sample_of(path, PicturePlan(6, 32, "shots"))
    assert sample.cuts is not None
    assert np.allclose(sample.cuts, [2.0, 6.0, 7.2], atol=0.05)
    assert np.allclose(sample.frame_times, [1.0, 4.0, 6.6, 8.6], atol=0.1)
    assert np.allclose(sample_of(path, PicturePlan(2, 32, "shots")).frame_times, [4.0, 8.6], atol=0.1)
    assert sample_of(path).cuts is None


def remux(source: Path, target: Path, **options: str) -> Path:
    with av.open(str(source)) as given, av.open(str(target), "w", options=options) as out:
        streams = {stream: out.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                out.mux(packet)
    return target


def test_a_fragmented_file_is_whole_and_its_first_half_is_half(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", seconds=4.0, gop=5)
    fragmented = remux(clip, tmp_path / "f.mp4", movflags="frag_keyframe+empty_moov")
    whole, pieces = sample_of(clip), sample_of(fragmented)
    assert abs(len(whole.wave) - len(pieces.wave)) < 2_000  # the samples an encoder starts with are not marked in it
    assert np.array_equal(whole.frames, pieces.frames)
    data = fragmented.read_bytes()
    fragmented.write_bytes(data[: len(data) // 2])
    half = sample_of(fragmented)
    assert 0 < len(half.wave) < 0.8 * len(whole.wave)
    assert len(half.frames)


def test_an_encrypted_file_gives_reasons_and_no_vector(tmp_path: Path) -> None:
    """What a player without the key sees: sample entries of encrypted kinds and bytes like noise."""
    data = make_clip(tmp_path / "a.mp4").read_bytes()
    at = data.index(b"mdat") + 4
    size = int.from_bytes(data[at - 8 : at - 4], "big") - 8
    hidden = data[:at] + random.Random(1).randbytes(size) + data[at + size :]
    (tmp_path / "e.mp4").write_bytes(hidden.replace(b"avc1", b"encv").replace(b"mp4a", b"enca"))
    sample = sample_of(tmp_path / "e.mp4")
    assert not len(sample.frames)
    assert set(sample.missing) >= {"visual"}
    assert sample.probe.status != "ok"


def test_an_unknown_first_track_does_not_hide_a_second(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "two.mkv"), "w") as container:
        streams = [container.add_stream("aac", rate=16_000, layout="mono") for _ in range(2)]
        packets = []
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(np.full((1, 16_000), 0.25, np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16_000
            packets += [*stream.encode(frame), *stream.encode(None)]
        noise = random.Random(2)
        for packet in packets:
            if packet.stream is streams[0]:
                packet = av.Packet(b"\xff" + noise.randbytes(60))
                packet.stream, packet.pts, packet.dts = streams[0], 0, 0
            container.mux(packet)
    sample = sample_of(tmp_path / "two.mkv")
    assert sample.wave.mean() > 0.2


def test_a_stream_without_end_is_heard_in_windows(tmp_path: Path) -> None:
    """Half an hour of the same second again and again, in a kind of file that says no length."""
    with av.open(str(tmp_path / "one.aac"), "w", format="adts") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.full((1, 16_000), 0.1, np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "on.aac").write_bytes((tmp_path / "one.aac").read_bytes() * 1800)
    sample = sample_of(tmp_path / "on.aac")
    assert 8.0 <= len(sample.wave) / 16_000 <= 10.0
    assert sample.probe.status == "ok"


def test_a_change_within_the_sound_is_followed(tmp_path: Path) -> None:
    """Two streams one after the other, as broadcasts do: other rate, other layout."""
    parts = []
    for rate, layout in ((16_000, "mono"), (48_000, "stereo")):
        with av.open(str(tmp_path / "part.aac"), "w", format="adts") as container:
            stream = container.add_stream("aac", rate=rate, layout=layout)
            wave = np.full((1 + (layout == "stereo"), 2 * rate), 0.25, np.float32)
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout=layout)
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        parts.append((tmp_path / "part.aac").read_bytes())
    (tmp_path / "both.aac").write_bytes(b"".join(parts))
    wave = sample_of(tmp_path / "both.aac").wave
    assert 3.5 < len(wave) / 16_000 < 4.5


def test_a_second_of_silence_is_not_missing(tmp_path: Path) -> None:
    sample = sample_of(make_wav(tmp_path / "s.wav", np.zeros((6, 8_000), np.float32), 8_000))
    assert (sample.missing, sample.probe.channels) == ({"visual": "no picture"}, 6)
    assert len(sample.wave) == 16_000


@pytest.mark.parametrize("name", ["photo.jpg", "PHOTO.JPEG", "photo.img"])
def test_a_photograph_is_a_picture_and_no_series_of_them(tmp_path: Path, name: str) -> None:
    written = write(tmp_path / "one.mjpeg", "mjpeg", "yuvj420p", [0])
    frames = sample_of(written.rename(tmp_path / name)).frames
    assert frames is not None
    assert has_halves(frames[0])


@pytest.mark.parametrize(("name", "encoder"), [("a.adx", "adpcm_adx"), ("a.g722", "g722"), ("a.aptx", "aptx")])
def test_rare_sounds_are_heard(tmp_path: Path, name: str, encoder: str) -> None:
    layout = "stereo" if encoder == "aptx" else "mono"
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(encoder, rate=16_000 if encoder != "aptx" else 48_000, layout=layout)
        stream.codec_context.format = stream.codec_context.codec.audio_formats[0].name
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, stream.rate, stream.frame_size or 1024)
        tone = (np.sin(np.arange(stream.rate) * 0.05) * 8000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate = stream.rate
        for part in resampler.resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    assert np.abs(sample_of(tmp_path / name).wave).max() > 0.1


@pytest.mark.parametrize("name", ["letter.txt", "letter.al", "letter.yuv", "letter.sw", "letter.srt", "letter.adx"])
def test_words_are_no_media_by_whatever_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("1\n00:00:01,000 --> 00:00:02,000\nThese are words.\n" * 200)
    with pytest.raises(MediaError, match="not readable as media"):
        sample_of(tmp_path / name)
