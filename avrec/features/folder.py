"""`avrec features extract FOLDER`: every file of a folder into vectors, and a report with a row a file."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from avrec.datasets.dataset import write_table
from avrec.errors import DataError, MediaError
from avrec.features.base import Extraction
from avrec.features.collect import collect_subjects
from avrec.features.extract import FillReport, fill_store
from avrec.features.hashing import HashCache
from avrec.features.origin import Origin, write_origin
from avrec.features.subjects import Subject
from avrec.media.location import is_url, local_path
from avrec.media.sample import ABSENT
from avrec.params import FeaturesParams, load_params
from avrec.schema import ITEMS, SIGNALS

MODALITIES = ("visual", "audio")
REPORT = ("path", "status", "reason", "seconds")


def extract_folder(folder: str, out: Path, workers: int = 2, params: FeaturesParams | None = None) -> dict[str, int]:
    """Extracts picture and sound of every file below `folder`; files that cannot be read are reported, not fatal.

    Writes `out/visual` and `out/audio` (as the stages do, the item id being the path), `out/signals.parquet`,
    `out/origin.json` (`avrec.features.origin`) and `out/report.csv`: `path,status,reason,seconds`; status `ok` (all
    that the file has), `partial` (something of it cannot be read or is damaged) or `refused`; seconds are 0 where the
    feature store already knew the file.

    Args:
        folder: Folder or fsspec URL.
        out: Folder for the results; made when absent.
        workers: Decoding processes.
        params: Section `features`; by default of the params.yaml here, or else the defaults.

    Returns:
        Number of files by status.

    Raises:
        DataError: `folder` is not a folder.
    """
    params = params or _params_here()
    paths = list(_files(folder))
    if not paths:
        print(f"{folder} holds no files", file=sys.stderr)
    items, refused = _items(paths, folder, params)
    started = time.monotonic()
    wanted = (*MODALITIES, "speech") if params.speech.enabled else MODALITIES
    fill = partial(fill_store, items, folder, params, wanted, workers=workers)
    report = fill()
    found = {modality: _collect(items, modality, params, out / modality, fill) for modality in wanted}
    _write_signals(items, found, out)
    write_origin(out, Origin(folder, params))
    counts = _write_report(paths, refused, found, report, out)
    said = ", ".join(f"{number} {status}" for status, number in counts.items())
    print(f"{len(paths)} files in {time.monotonic() - started:.1f} s: {said}; see {out / 'report.csv'}")
    return counts


def _params_here() -> FeaturesParams:
    return load_params().features if Path("params.yaml").is_file() else FeaturesParams()


def _files(folder: str) -> Iterator[str]:
    """Paths below `folder`, sorted. Links are listed, and judged when they are opened; folders behind links are not."""
    if is_url(folder):
        yield from sorted(_remote(folder))
        return
    base = local_path(folder)
    if not base.is_dir():
        raise DataError(f"{folder} is not a folder; give a folder of media files or an fsspec URL.")
    found = (path for path in base.rglob("*") if path.is_symlink() or not path.is_dir())
    yield from sorted(path.relative_to(base).as_posix() for path in found)


def _remote(url: str) -> list[str]:
    import fsspec

    try:
        fs, root = fsspec.core.url_to_fs(url)
        return [str(path)[len(root) :].lstrip("/") for path in fs.find(root)]
    except Exception as error:  # fsspec backends raise what they like
        raise DataError(
            f"{url} cannot be listed ({type(error).__name__}: {error}); give a folder or an fsspec URL."
        ) from error


def _items(paths: Sequence[str], folder: str, params: FeaturesParams) -> tuple[pa.Table, dict[str, str]]:
    """The items table of the files that may be opened, and why the others may not."""
    refused: dict[str, str] = {}
    hashes: dict[str, str] = {}
    cache = HashCache()
    for path in paths:
        try:
            hashes[path] = cache.sha256(path, folder, params.limits.bytes)
        except MediaError as error:
            refused[path] = error.reason
    cache.close()
    rows = [{"item_id": p, "media_type": "video", "media_uri": p, "media_sha256": h} for p, h in hashes.items()]
    return pa.Table.from_pylist(rows, schema=ITEMS.schema), refused


def _collect(
    items: pa.Table, modality: str, params: FeaturesParams, out: Path, again: Callable[[], object]
) -> dict[str, Extraction]:
    """Writes the tables of one modality; the extractions without their vectors, by path."""
    pairs = zip(items["item_id"].to_pylist(), items["media_sha256"].to_pylist(), strict=True)
    subjects = [Subject(path, key) for path, key in pairs]
    writer = collect_subjects(subjects, params, modality, out, again)
    writer.close([subject.item_id for subject in subjects])
    return writer.found


def _write_signals(items: pa.Table, found: dict[str, dict[str, Extraction]], out: Path) -> None:
    rows = []
    for path in items["item_id"].to_pylist():
        merged: dict[str, Any] = {}
        for extractions in found.values():
            merged |= extractions[path].signals or {}
        rows.append({"item_id": path} | {name: merged.get(name) for name in SIGNALS.schema.names[1:]})
    write_table(out, "signals", pa.Table.from_pylist(rows, schema=SIGNALS.schema))


def _write_report(
    paths: Sequence[str],
    refused: dict[str, str],
    found: dict[str, dict[str, Extraction]],
    report: FillReport,
    out: Path,
) -> dict[str, int]:
    counts = dict.fromkeys(("ok", "partial", "refused"), 0)
    out.mkdir(parents=True, exist_ok=True)
    aside = out / ".report.part"
    with aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(REPORT)
        for path in paths:
            parts = [found[modality].get(path) for modality in MODALITIES]
            status, reason = ("refused", refused[path]) if path in refused else judge([p for p in parts if p])
            counts[status] += 1
            shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
            writer.writerow([shown, status, reason, f"{report.seconds.get(path, 0.0):.3f}"])
    aside.replace(out / "report.csv")
    return counts


def judge(parts: Sequence[Extraction]) -> tuple[str, str]:
    """Status and reason of a file by what its modalities gave."""
    missing = [part.reason for part in parts if part.reason is not None]
    damage = [str(part.signals["damage"]) for part in parts if part.signals and "damage" in part.signals]
    reasons = dict.fromkeys([*missing, *damage])
    if len(missing) == len(parts):
        return "refused", "; ".join(reasons)
    return ("partial" if set(reasons) - set(ABSENT.values()) else "ok"), "; ".join(reasons)
