"""Files that want to hurt: each ends as a reason, and the run goes on."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from avrec.media.nursery import nursery
from avrec.media.pool import decode_many
from avrec.media.probe import probe_file
from avrec.media.sample import PicturePlan, Request, Sample, SoundPlan
from avrec.params import LimitsParams
from tests.media.make import make_clip

LIMITS = LimitsParams(seconds=30.0)


def read(root: Path, *names: str, limits: LimitsParams = LIMITS, workers: int = 1) -> dict[str, Sample | str]:
    requests = [Request(name, str(root), PicturePlan(4, 64), SoundPlan(10.0)) for name in names]
    answers = {names[d.index]: d.answer for d in decode_many(requests, limits, workers)}
    return {name: a if isinstance(a, Sample) else a.reason for name, a in answers.items()}


def png(path: Path, width: int, height: int) -> Path:
    """A picture that is a few kilobytes on disk and `width * height` pixels in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * (width // 8 + 1) * min(height, 2000), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def empty(root: Path) -> None:
    (root / "bad.mp4").touch()


def text(root: Path) -> None:
    (root / "bad.mp4").write_text("no film at all\n" * 200)


def playlist(root: Path) -> None:
    make_clip(root / "secret.mp4")
    (root / "bad.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:2,\nsecret.mp4\n#EXT-X-ENDLIST\n")


def concat_script(root: Path) -> None:
    make_clip(root / "secret.mp4")
    (root / "bad.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")


def noise(root: Path) -> None:
    (root / "bad.mp4").write_bytes(os.urandom(50_000))


def header_only(root: Path) -> None:
    data = make_clip(root / "whole.mp4").read_bytes()
    (root / "bad.mp4").write_bytes(data[:40])


def link_out(root: Path) -> None:
    outside = make_clip(root.parent / "outside.mp4")
    (root / "bad.mp4").symlink_to(outside)


def link_loop(root: Path) -> None:
    (root / "bad.mp4").symlink_to(root / "bad.mp4")


def pipe(root: Path) -> None:
    os.mkfifo(root / "bad.mp4")


def bomb(root: Path) -> None:
    png(root / "bad.mp4", 60_000, 60_000)


def long_header(root: Path) -> None:
    remux(make_clip(root / "whole.mp4"), root / "whole.mkv", "matroska")
    data = bytearray((root / "whole.mkv").read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    struct.pack_into(">d", data, at, 4e12)  # milliseconds: 127 years
    (root / "bad.mp4").write_bytes(data)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (empty, "empty file"),
        (text, "not readable as media"),
        (playlist, "not readable as media"),
        (concat_script, "not readable as media"),
        (noise, "not readable as media"),
        (header_only, "not readable as media"),
        (link_out, "leaves the media folder"),
        (link_loop, "cannot be opened"),
        (pipe, "not a regular file"),
        (bomb, "picture damaged"),
        (long_header, "s long, the limit is"),
    ],
)
def test_refused_with_a_reason(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    root = tmp_path / "media"
    root.mkdir()
    make(root)
    good = make_clip(root / "good.mp4").name
    answers = read(root, "bad.mp4", good)
    bad = answers["bad.mp4"]
    assert reason in (bad if isinstance(bad, str) else str(bad.probe.reason))
    assert not isinstance(bad, Sample) or not len(bad.frames)
    assert isinstance(answers[good], Sample)


@pytest.mark.parametrize("uri", ["../outside.mp4", "a/../../outside.mp4", "/etc/hostname", "file:///etc/hostname"])
def test_a_path_cannot_leave_the_folder(tmp_path: Path, uri: str) -> None:
    root = tmp_path / "media"
    (root / "a").mkdir(parents=True)
    make_clip(tmp_path / "outside.mp4")
    assert read(root, uri)[uri] == "path leaves the media folder"


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert read(tmp_path, "none.mp4", "folder") == {"none.mp4": "file not found", "folder": "not a regular file"}


def test_truncated_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", seconds=4.0)
    with_index_first = tmp_path / "stream.ts"
    remux(whole, with_index_first, "mpegts")
    data = with_index_first.read_bytes()
    (tmp_path / "half.ts").write_bytes(data[: len(data) // 2])
    half = read(tmp_path, "half.ts")["half.ts"]
    assert isinstance(half, Sample)
    assert 0 < len(half.wave) < 4 * 16_000
    assert 0 < len(half.frames) <= 4


@pytest.mark.parametrize(("kind", "options"), [("mp4", {"movflags": "faststart"}), ("matroska", {})])
def test_a_file_that_ends_before_its_time_says_so(tmp_path: Path, kind: str, options: dict[str, str]) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    remux(make_clip(tmp_path / "a.mp4", seconds=6.0), whole, kind, options)
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found = read(tmp_path, "whole", "half")
    assert isinstance(found["whole"], Sample) and isinstance(found["half"], Sample)
    assert (found["whole"].probe.status, found["whole"].damage) == ("ok", {})
    assert found["half"].probe.status == "partial"
    assert {"visual", "audio"} >= found["half"].damage.keys() >= {"audio"}
    assert "s of 6.0" in str(found["half"].probe.reason)
    assert len(found["half"].frames) and len(found["half"].wave)


@pytest.mark.parametrize(("kind", "options"), [("mp4", {"movflags": "faststart"}), ("matroska", {})])
def test_so_does_one_that_is_too_long_to_be_read_to_its_end(tmp_path: Path, kind: str, options: dict[str, str]) -> None:
    whole = tmp_path / "whole"
    remux(make_clip(tmp_path / "a.mp4", seconds=150.0, size=(32, 32), gop=20, fps=4), whole, kind, options)
    (tmp_path / "half").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found = read(tmp_path, "whole", "half")
    assert isinstance(found["whole"], Sample) and isinstance(found["half"], Sample)
    assert (found["whole"].probe.status, found["whole"].damage) == ("ok", {})
    assert found["half"].probe.status == "partial"
    assert "ends before 140.0 s of 150" in str(found["half"].probe.reason)


def test_subtitles_alone_are_refused_however_long(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:03:00,000\nhello\n")
    remux(tmp_path / "a.srt", tmp_path / "a.mkv", "matroska")
    answer = read(tmp_path, "a.mkv")["a.mkv"]
    assert isinstance(answer, Sample)
    assert (answer.probe.status, answer.probe.reason) == ("refused", "no picture; no sound")


def test_a_sound_that_ends_before_its_time_says_so_and_a_cover_has_no_time(tmp_path: Path, shared_data: Path) -> None:
    samples = bytes(range(256)) * 750  # six seconds of 16 bits at 16 kHz
    header = b".snd" + struct.pack(">5I", 24, len(samples), 3, 16_000, 1)
    for name, part in (("whole.au", samples), ("half.au", samples[: len(samples) // 2])):
        (tmp_path / name).write_bytes(header + part)
    found = read(tmp_path, "whole.au", "half.au")
    assert isinstance(found["whole.au"], Sample) and isinstance(found["half.au"], Sample)
    assert found["whole.au"].damage == {}
    assert found["half.au"].damage == {"audio": "the audio ends at 3.0 s of 6.0"}
    song = read(shared_data / "robustness", "flac__bear_with_picture.flac")["flac__bear_with_picture.flac"]
    assert isinstance(song, Sample) and song.probe.status == "ok"


def remux(source: Path, target: Path, kind: str, options: dict[str, str] | None = None) -> None:
    import av

    with av.open(str(source)) as given, av.open(str(target), "w", format=kind, options=options) as out:
        streams = {stream: out.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                out.mux(packet)


def test_encrypted_is_refused_and_told(tmp_path: Path) -> None:
    key = "00112233445566778899aabbccddeeff"
    whole, secret = make_clip(tmp_path / "whole.mp4"), {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key}
    remux(whole, tmp_path / "secret.mp4", "mp4", secret | {"encryption_kid": key})
    sample = read(tmp_path, "secret.mp4")["secret.mp4"]
    assert isinstance(sample, Sample)
    assert sample.probe.status == "refused"
    assert sample.missing == {"visual": "the picture is encrypted", "audio": "the sound is encrypted"}
    assert probe_file(tmp_path / "secret.mp4", LIMITS).status == "refused"


def test_limits_of_bytes_and_streams(tmp_path: Path) -> None:
    name = make_clip(tmp_path / "clip.mp4").name
    size = (tmp_path / name).stat().st_size
    assert read(tmp_path, name, limits=LimitsParams(bytes=size - 1))[name] == f"{size} bytes, the limit is {size - 1}"
    assert read(tmp_path, name, limits=LimitsParams(streams=1))[name] == "2 streams, the limit is 1"


def test_pixels_beyond_the_limit_leave_the_sound(tmp_path: Path) -> None:
    name = make_clip(tmp_path / "clip.mp4").name
    sample = read(tmp_path, name, limits=LimitsParams(pixels=1000))[name]
    assert isinstance(sample, Sample)
    assert sample.missing == {"visual": "picture of 96x64, the limit is 1000 pixels"}
    assert len(sample.wave) > 16_000


def test_a_worker_that_dies_or_hangs_takes_one_file_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The decoder is made to crash and to hang by file name, inside the real worker."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "if 'avrec.media.nursery' in ' '.join(sys.orig_argv):\n"
        "    import avrec.media.location as place\n"
        "    real = place.locate\n"
        "    def locate(uri, root):\n"
        "        if uri == 'crash.mp4': os.abort()\n"
        "        if uri == 'hang.mp4': time.sleep(600)\n"
        "        if uri == 'greedy.mp4': return str(len(bytearray(8 << 30)))\n"
        "        return real(uri, root)\n"
        "    place.locate = locate\n"
        "    import avrec.media.decode as decode\n"
        "    decode.from_seeks = lambda *given: os.abort()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hook))
    nursery.close()  # the next one starts with the hook
    request.addfinalizer(nursery.close)
    for name in ("crash.mp4", "hang.mp4", "greedy.mp4", "good.mp4"):
        make_clip(tmp_path / name)
    make_clip(tmp_path / "seek.mp4", seconds=125.0, size=(32, 32), fps=2, sound=False)
    names = ("crash.mp4", "good.mp4", "hang.mp4", "greedy.mp4", "seek.mp4")
    answers = read(tmp_path, *names, limits=LimitsParams(seconds=5.0, memory_mb=1024))
    assert answers["crash.mp4"] == "the decoder died (SIGABRT)"
    assert answers["hang.mp4"] == "took longer than 5 s"
    assert answers["greedy.mp4"] == "needs more than 1024 MB of memory"
    assert isinstance(answers["good.mp4"], Sample)
    unsought = answers["seek.mp4"]
    assert isinstance(unsought, Sample) and len(unsought.frames)
    assert unsought.damage == {"visual": "cannot be sought in: only the first 120 s were read"}


def test_a_worker_is_of_this_code_wherever_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of an older run are made inside a checkout of its code."""
    make_clip(tmp_path / "a.mp4")
    (tmp_path / "checkout" / "avrec").mkdir(parents=True)
    (tmp_path / "checkout" / "avrec" / "__init__.py").write_text("raise RuntimeError('another version')")
    monkeypatch.chdir(tmp_path / "checkout")
    assert isinstance(read(tmp_path, "a.mp4")["a.mp4"], Sample)


def test_leaving_early_ends_the_workers(tmp_path: Path) -> None:
    for i in range(6):
        make_clip(tmp_path / f"{i}.mp4", seconds=0.5)
    nursery.open()
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    answers = decode_many([Request(f"{i}.mp4", str(tmp_path)) for i in range(6)], LIMITS, 2)
    next(answers)
    answers.close()
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_workers_live_in_the_folder_and_environment_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made by a process that was started once, perhaps elsewhere."""
    nursery.open()
    make_clip(tmp_path / "films" / "a.mp4")
    monkeypatch.chdir(tmp_path)
    (decoded,) = decode_many([Request("a.mp4", "films")], LIMITS, 1)
    assert isinstance(decoded.answer, Sample)


def test_a_nursery_that_died_is_replaced(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4")
    nursery.open()
    assert nursery.pid is not None
    psutil.Process(nursery.pid).kill()
    assert isinstance(read(tmp_path, "a.mp4")["a.mp4"], Sample)


def test_the_nursery_ends_with_the_process_it_serves(tmp_path: Path) -> None:
    code = "from avrec.media.nursery import nursery as n; import os; n.open(); print(n.pid, flush=True); os._exit(0)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    psutil.wait_procs([psutil.Process(pid) for pid in [int(told.stdout)] if psutil.pid_exists(pid)], timeout=30)
    assert not psutil.pid_exists(int(told.stdout))


def test_real_odd_files_all_get_an_answer(shared_data: Path) -> None:
    root = shared_data / "robustness"
    names = sorted(path.name for path in root.iterdir())[::6]
    answers = read(root, *names, workers=2)
    assert set(answers) == set(names)
    assert sum(isinstance(answer, Sample) for answer in answers.values()) >= 0.8 * len(names)
