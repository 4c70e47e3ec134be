"""Drill: a planted person is erased from a platform that has trained on them, served them and published their lists.

    python -m tests.drills.erasure [--json FILE] [--write]

Rendered clips are imported as a folder in which one person has events, comments and a clip of their own with marks in
its title, its file name and its metadata. A model is trained, approved and promoted, and a table is published. The
scanner must find every mark before `avrec forget`, and none after it; the champion must be refused; a new training must
bring the platform back; and a backup restored over it must be cleaned by `--reapply`. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.drills.common import PROJECT, avrec, commit_of_project, environment, must, write_section

WHO = "canary-7f3a@example.org"
MARKS = {"comment": "canary-in-comment", "title": "canary-in-title", "file name": "canary-clip.mp4",
         "metadata": "canary-in-metadata", "raw id": WHO}  # fmt: skip
SMALL = ["matching.two_tower.epochs=2", "evaluation.bootstrap=100"]
BACKED_UP = ("imports", "dvc", "publications", "tables.db", "mlflow")


def plant(base: Path) -> Path:
    """A folder to import: the demo's clips and people, one of them with marks everywhere."""
    from avrec.datasets.demo.source import make_demo
    from avrec.params import DatasetParams, DemoParams

    demo = DatasetParams(demo=DemoParams(items=40, users=60, days=30, interactions_per_user=30.0))
    dataset, shop = make_demo(demo, base / "demo" / "dataset", base / "shop"), base / "shop"
    tables = {name: dataset.table(name).to_pylist() for name in ("items", "interactions", "comments")}
    busiest = max(tables["comments"], key=lambda row: sum(r["user_id"] == row["user_id"] for r in tables["comments"]))
    for row in [*tables["interactions"], *tables["comments"]]:
        if row["user_id"] == busiest["user_id"]:
            row["user_id"] = WHO
            if "text" in row:
                row["text"] = f"{row['text']} {MARKS['comment']}"
    clip = next(row for row in tables["items"] if str(row["media_uri"]).endswith(".mp4") and row["media_sha256"])
    sign(shop / clip["media_uri"], shop / MARKS["file name"])
    clip |= {"title": f"{clip['title']} {MARKS['title']}", "creator_id": WHO, "media_uri": MARKS["file name"]}
    for name, rows in tables.items():
        write_csv(shop / f"{name}.csv", rows)
    return shop


def sign(source: Path, target: Path) -> None:
    """The clip with its maker in the metadata."""
    import av

    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        new.metadata["artist"] = MARKS["metadata"]
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams if s.type in ("video", "audio")}
        for packet in old.demux([s for s in old.streams if s.index in streams]):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    source.unlink()


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: "|".join(v) if isinstance(v, list) else v for k, v in row.items() if k != "media_sha256"}
            )


def champion(base: Path, run_id: str) -> str:
    """Trains, approves by override (a tiny set proves nothing about quality) and promotes."""
    from avrec.registry import approval, promotion, versions
    from avrec.registry import client as server

    must(base, "train", "--run-id", run_id, *(word for value in SMALL for word in ("--set", value)))
    version = versions.resolve(server.connect(), "challenger").version
    avrec(base, "models", "gate", version)  # its refusal is overruled below
    approval.record(version, approved=True, who="approver", why="The drill goes on", override=True)
    promotion.promote(version)
    return str(version)


def found(base: Path, marks: dict[str, str]) -> dict[str, int]:
    """How many places hold each mark, in home, project and what was imported."""
    from avrec.privacy.scan import Scanner
    from pipelines.forget import places

    hits = Scanner(list(marks.values())).folders([*places(), *sorted((base / "shop").glob("*.mp4"))])
    return {name: sum(hit.mark == mark for hit in hits) for name, mark in marks.items()}


def backup(base: Path, name: str, there: bool) -> None:
    """Copies the stores away, or back over what is there."""
    for part in BACKED_UP:
        source, target = base / "home" / part, base / name / part
        source, target = (source, target) if there else (target, source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copy2(source, target)


def drill(base: Path) -> dict[str, Any]:
    from avrec.privacy.pseudonyms import Pseudonyms

    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(base / "repository")], check=True)
    started = time.monotonic()
    must(base, "data", "import", "folder", str(plant(base)))
    marks = MARKS | {"pseudonym": Pseudonyms.of_home().of(WHO)}
    first = champion(base, "before")
    must(base, "tables", "publish", "--date", "2026-03-01")
    log = base / "home" / "logs" / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"GET /recommend?user={WHO}\n", encoding="utf-8")
    before = found(base, marks)
    say(started, f"version {first} is live; places that hold a mark: {before}")
    backup(base, "backup", there=True)
    report = must(base, "forget", WHO, "--media")
    after = found(base, marks)
    say(started, f"forgotten; places that hold a mark: {after}")
    code, refused = avrec(base, "tables", "publish", "--date", "2026-03-02")
    second = champion(base, "after")
    must(base, "tables", "publish", "--date", "2026-03-02")
    later = found(base, marks)
    say(started, f"version {second} is live, trained without; places that hold a mark: {later}")
    backup(base, "backup", there=False)
    restored = found(base, marks)
    must(base, "forget", "--reapply")
    again = found(base, marks)
    say(started, f"a backup came back ({restored}) and was cleaned: {again}")
    passed = all(before.values()) and not any([*after.values(), *later.values(), *again.values()])
    passed = passed and any(restored.values()) and code != 0 and "revoked" in refused
    return {"passed": passed, "before": before, "after": after, "after training": later, "restored": restored,
            "after reapply": again, "refusal": refused.strip()[-300:], "report": report, 
            "seconds": round(time.monotonic() - started)}  # fmt: skip


def section(result: dict[str, Any], commit: str, day: str) -> list[str]:
    """What docs/erase.md says of the last drill."""
    moments = ("before", "after", "after training", "restored", "after reapply")
    rows = [f"| {mark} | " + " | ".join(str(result[m][mark]) for m in moments) + " |" for mark in result["before"]]
    verdict = "passed" if result["passed"] else "**failed**"
    return [
        f"Last drill: {day} at commit {commit}, {verdict} in {result['seconds']} s. Places that held a mark:", "",
        "| mark | before | after `forget` | after training again | a backup came back | after `--reapply` |",
        "| --- | ---: | ---: | ---: | ---: | ---: |", *rows,
    ]  # fmt: skip


def say(started: float, text: str) -> None:
    print(f"[{time.monotonic() - started:6.1f} s] {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="write the result to docs/erase.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avrec-drill-") as folder:
        os.environ.update(environment(Path(folder)))
        try:
            result = drill(Path(folder))
        finally:
            shutil.copy(Path(folder) / "drill.log", Path(tempfile.gettempdir()) / "erasure-drill.log")
    print(f"erasure: {'passed' if result['passed'] else 'FAILED'} in {result['seconds']} s")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.write:
        day = datetime.now(UTC).date().isoformat()
        write_section(PROJECT / "docs" / "erase.md", "erasure", section(result, commit_of_project(), day))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
