"""What one new clip costs in a catalogue that is already extracted, against extracting it into an empty store.

    python benchmarks/one_clip.py CLIP [--items 300 3000] [--json FILE]

Each run is a fresh process over a folder of items, everything included: start, hashing, networks, tables. The catalogue
is CLIP many times, each copy made a different file by an MP4 `free` box at its end. Goal: a ratio of at most 1.3.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def variation(clip: bytes, number: int) -> bytes:
    """`clip` with a box that players skip and that makes its bytes, and so its key, new."""
    return clip + (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")


def extract(folder: Path, home: Path, out: Path) -> float:
    """Seconds of one extraction in a process of its own."""
    environment = os.environ | {"AVREC_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "avrec.cli", "features", "extract", str(folder), "--out", str(out)]
    started = time.monotonic()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def seed_store(folder: Path, home: Path) -> None:
    """Fills the store for the whole folder from one real extraction: equal frames, other keys."""
    os.environ["AVREC_HOME"] = str(home)
    from avrec.features.folder import _items
    from avrec.features.registry import build_extractor
    from avrec.features.store import FeatureStore
    from avrec.params import FeaturesParams
    from avrec.settings import settings

    params = FeaturesParams()
    paths = sorted(path.name for path in folder.iterdir())
    items, _ = _items(paths, str(folder), params)
    keys = items["media_sha256"].to_pylist()
    store = FeatureStore(settings().feature_store)
    for modality in ("visual", "audio"):
        extractor = build_extractor(modality, params)
        (found,) = store.read(extractor, keys[:1]).values()
        for start in range(1, len(keys), 128):
            store.write(extractor, [(key, found) for key in keys[start : start + 128]])


def measure(clip: bytes, items: int, repeats: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        alone, many, home = base / "alone", base / "many", base / "home"
        for folder in (alone, many):
            folder.mkdir()
        (many / "00000.mp4").write_bytes(variation(clip, 0))
        extract(many, home, base / "out")
        for number in range(1, items):
            (many / f"{number:05d}.mp4").write_bytes(variation(clip, number))
        seed_store(many, home)
        unchanged = extract(many, home, base / "out")
        empty, added = [], []
        for repeat in range(repeats):
            (alone / "new.mp4").write_bytes(variation(clip, 1_000_000 + repeat))
            empty.append(extract(alone, base / f"empty{repeat}", base / f"out{repeat}"))
            (many / f"new{repeat}.mp4").write_bytes(variation(clip, 1_000_000 + repeat))
            added.append(extract(many, home, base / "out"))
    one, more = statistics.median(empty), statistics.median(added)
    return {"items": items, "empty_s": one, "added_s": more, "unchanged_s": unchanged, "ratio": more / one}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--items", type=int, nargs="+", default=[300, 3000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [measure(options.clip.read_bytes(), items, options.repeats) for items in options.items]
    print("items  empty store s  one more s  unchanged s  ratio")
    for row in rows:
        print("{items:5.0f}  {empty_s:13.2f}  {added_s:10.2f}  {unchanged_s:11.2f}  {ratio:5.2f}".format(**row))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
