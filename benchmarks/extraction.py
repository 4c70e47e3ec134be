"""What extraction costs beside what it cannot avoid, and beside a straightforward loop. Everything in one run.

    python benchmarks/extraction.py FOLDER [--copies N] [--workers 1 2 4] [--json FILE]

Every file of FOLDER is extracted N times (the same file under N keys), pictures and sound, into an empty store.

- The floor is the larger of two times, each alone on all cores: decoding just the sampled frames and the sound, and
  the networks' forward over the same batches. Goal: at most 1.25 times the floor. Where both use the same cores, even
  a perfect overlap takes what both cost together: that bound is printed too.
- The loop does what one would write first: file by file PyAV decodes every frame and all sound, keeps the same frames,
  and runs them through the same networks in the same batch size and threads. Goal: 4 times faster.

Importing TensorFlow, building the networks and starting what workers are copies of, which a process does once, are
done before and stated apart.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

Samples = dict[str, Any]


@dataclass(frozen=True)
class Set:
    """The files that can be decoded, what the platform samples of them, and both networks, built and warm."""

    folder: Path
    samples: Samples
    visual: Any
    audio: Any
    copies: int

    @property
    def names(self) -> list[str]:
        return list(self.samples) * self.copies


def seconds(work: Callable[[], Any]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def prepare(folder: Path, copies: int) -> tuple[Set, dict[str, float]]:
    """Decodes every file once and loads what is loaded once a process; the start-up times."""
    from avrec.features.registry import build_extractor
    from avrec.features.tensorflow import load
    from avrec.media.pool import decode_many
    from avrec.media.sample import Request, Sample
    from avrec.params import FeaturesParams

    params = FeaturesParams()
    times = {"TensorFlow": seconds(load)}
    visual, audio = build_extractor("visual", params), build_extractor("audio", params)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    times["what workers are copies of"] = seconds(
        lambda: list(decode_many([Request("none", str(folder))], params.limits, 1))
    )
    requests = [Request(name, str(folder), visual.plan, audio.plan) for name in names]
    found = {names[d.index]: d.answer for d in decode_many(requests, params.limits)}
    samples = {name: found[name] for name in names if isinstance(found[name], Sample)}
    whole = next(s for s in samples.values() if len(s.frames) and s.wave.size)
    times["the networks"] = seconds(lambda: [list(extractor.extract([whole])) for extractor in (visual, audio)])
    return Set(folder, samples, visual, audio, copies), times


def decode_alone(job: tuple[str, str]) -> int:
    """Decodes the sampled frames and the sound of one file, and keeps nothing."""
    from avrec.features.registry import build_extractor
    from avrec.media.decode import decode
    from avrec.media.sample import Request
    from avrec.params import FeaturesParams

    params = FeaturesParams()
    plans = (build_extractor("visual", params).plan, build_extractor("audio", params).plan)  # type: ignore[attr-defined]
    return len(decode(Request(*job, *plans), params.limits).frames)


def decode_floor(given: Set) -> float:
    """Seconds of decoding on all cores, by bare processes that are already there."""
    jobs = [(name, str(given.folder)) for name in given.names]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        pool.map(decode_alone, jobs[:1] * 4 * (os.cpu_count() or 1), chunksize=1)
        return seconds(lambda: list(pool.imap_unordered(decode_alone, jobs, chunksize=1)))


def batches_of(given: Set) -> tuple[list[Any], list[Any]]:
    """The rows of all files in the batches that the networks take."""
    from avrec.features import mobilenet, yamnet
    from avrec.features.audio import cut_patches

    frames = np.concatenate([s.frames for s in given.samples.values() if len(s.frames)] * given.copies)
    patches = np.concatenate([cut_patches(s.wave, s.windows)[0] for s in given.samples.values()] * given.copies)
    return padded(frames, mobilenet.BATCH), padded(patches, yamnet.BATCH)


def padded(rows: Any, batch: int) -> list[Any]:
    beside = np.zeros((-len(rows) % batch, *rows.shape[1:]), rows.dtype)
    return np.split(np.concatenate([rows, beside]), -(-len(rows) // batch))


def network_floor(given: Set) -> float:
    """Seconds of the networks alone: one after the other or side by side, whichever is faster."""
    pictures, sounds = batches_of(given)

    def run(extractor: Any, batches: list[Any]) -> None:
        for batch in batches:
            extractor._network(batch)

    def both() -> None:
        threads = [threading.Thread(target=run, args=(given.visual, pictures)),
                   threading.Thread(target=run, args=(given.audio, sounds))]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    one_after_other = seconds(lambda: run(given.visual, pictures)) + seconds(lambda: run(given.audio, sounds))
    return min(one_after_other, seconds(both))


def loop(given: Set) -> dict[str, float]:
    """The straightforward program: seconds of decoding and of the networks."""
    import av

    from avrec.features import mobilenet, yamnet
    from avrec.features.audio import cut_patches

    spent = {"decode": 0.0, "networks": 0.0}
    for name in given.names:
        sample = given.samples[name]
        started = time.monotonic()
        wanted, frames = sample.frame_times, []
        with av.open(str(given.folder / name)) as container:
            if len(wanted):
                for number, frame in enumerate(container.decode(video=0)):
                    at = float(frame.pts * frame.time_base) if frame.pts is not None else number / 25.0
                    if len(frames) < len(wanted) and at >= wanted[len(frames)] - 1e-3:
                        frames.append(frame.to_ndarray(format="rgb24", width=mobilenet.SIZE, height=mobilenet.SIZE))
        wave = hear(given.folder / name) if sample.wave.size else sample.wave
        spent["decode"] += time.monotonic() - started
        started = time.monotonic()
        for extractor, rows, batch in (
            (given.visual, frames, mobilenet.BATCH),
            (given.audio, cut_patches(wave, np.array([[0, len(wave)]], np.float32))[0], yamnet.BATCH),
        ):
            for each in padded(np.stack(rows), batch) if len(rows) else []:
                extractor._network(each)
        spent["networks"] += time.monotonic() - started
    return spent


def hear(path: Path) -> Any:
    """All sound of a file at 16 kHz, a frame at a time."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
    with av.open(str(path)) as container:
        parts = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([*parts, *(out.to_ndarray()[0] for out in resampler.resample(None))])


class Stages:
    """Seconds by stage within one extraction, which overlap: what a stage takes, not what it adds to the whole.

    Decoding is summed over the workers, in wall time; the networks and the store are what their threads spent in them.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, whose time counts for `stage`."""

        def call(*given: Any, **named: Any) -> Any:
            started = time.monotonic()
            try:
                return work(*given, **named)
            finally:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - started

        return call


def ours(given: Set, workers: int) -> dict[str, Any]:
    """One extraction into an empty store, by networks that are already there: wall time, memory, seconds by stage."""
    from avrec.features import extract
    from avrec.features.store import FeatureStore
    from avrec.params import FeaturesParams
    from avrec.schema import ITEMS

    rows = [
        {"item_id": f"{n}-{name}", "media_type": "video", "media_uri": name, "media_sha256": f"{n:064d}{name}"}
        for n in range(given.copies) for name in given.samples
    ]  # fmt: skip
    items = pa.Table.from_pylist(rows, schema=ITEMS.schema)
    built = {"visual": given.visual, "audio": given.audio}
    extract.build_extractor = lambda modality, _: built[modality]  # type: ignore[assignment]
    stages, networks = Stages(), {name: extractor._network for name, extractor in built.items()}
    for name, network in networks.items():
        built[name].__dict__["_network"] = stages.timed(f"{name} network", network)
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        store = FeatureStore(folder)
        store.write = stages.timed("store", store.write)  # type: ignore[method-assign]
        started, own = time.monotonic(), time.process_time()
        report = extract.fill_store(
            items, str(given.folder), FeaturesParams(), ["visual", "audio"],
            store=store, workers=workers, progress=False,
        )  # fmt: skip
        took, own = time.monotonic() - started, time.process_time() - own
    for name, network in networks.items():
        built[name].__dict__["_network"] = network
    told = {"decode": sum(report.seconds.values()), **stages.seconds, "main process, processor": own}
    return {"workers": workers, "wall_s": took, "worker_mb": watch.peak_mb, "stages_s": told}


class Watch:
    """The largest sum of resident memory of the workers and of what they are copies of, looked at ten times a second.

    What they share is counted for each.
    """

    def __enter__(self) -> Watch:
        self.peak_mb, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.1):
            held = 0
            for child in psutil.Process().children(recursive=True):
                try:
                    held += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_mb = max(self.peak_mb, held / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    given, start_up = prepare(options.folder.absolute(), options.copies)
    rows = [ours(given, workers) for workers in options.workers]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    decode, networks, plain = decode_floor(given), network_floor(given), loop(given)
    told = table(given, start_up, rows, decode, networks, plain) | {"peak_mb": peak}
    print(f"peak memory of the main process: {peak:.0f} MB")
    if options.json:
        options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def table(
    given: Set, start_up: dict[str, float], rows: list[dict[str, Any]], decode: float, networks: float,
    plain: dict[str, float],
) -> dict[str, Any]:  # fmt: skip
    floor, straight = max(decode, networks), sum(plain.values())
    print(f"{len(given.names)} extractions of {len(given.samples)} files, {os.cpu_count()} cores")
    print("start-up, not counted: " + ", ".join(f"{name} {value:.1f} s" for name, value in start_up.items()))
    print(f"alone on all cores: decoding {decode:.2f} s, networks {networks:.2f} s; floor {floor:.2f} s")
    print(f"straightforward loop: decoding {plain['decode']:.2f} s, networks {plain['networks']:.2f} s")
    print("workers  wall s  over floor  over both together  loop over wall  workers' peak MB")
    for row in rows:
        row |= {"over_floor": row["wall_s"] / floor, "over_both": row["wall_s"] / (decode + networks),
                "times_faster": straight / row["wall_s"]}  # fmt: skip
        print(
            "{workers:7.0f}  {wall_s:6.2f}  {over_floor:10.2f}  {over_both:18.2f}  {times_faster:14.2f}  "
            "{worker_mb:16.0f}".format(**row)
        )
    print("seconds by stage, which overlap (decode: summed over the workers)")
    for stage in rows[0]["stages_s"]:
        print(f"{stage:>24}  " + "  ".join(f"{row['stages_s'].get(stage, 0.0):8.2f}" for row in rows))
    return {"files": len(given.samples), "copies": given.copies, "start_up_s": start_up, "decode_s": decode,
            "networks_s": networks, "floor_s": floor, "loop_s": plain, "rows": rows}  # fmt: skip


if __name__ == "__main__":
    main()
