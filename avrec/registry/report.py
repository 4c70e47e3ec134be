"""What a checkout has to say: the artifacts of one pass through dvc.yaml, read once and checked against dvc.lock."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from avrec.errors import RegistryError
from avrec.registry.hashing import dvc_md5

_REPORTED = (
    "artifacts/validation",
    "artifacts/validation.json",
    "artifacts/split.json",
    "artifacts/evaluation",
    "artifacts/evaluation.json",
    "artifacts/training",
    "artifacts/bundle",
    "artifacts/plots",
)


@dataclass(frozen=True)
class Report:
    """The reports of a finished pass.

    Attributes:
        root: The checkout.
        lock: Stages of `dvc.lock` by name, `track` left out: it is the one that reads this.
    """

    root: Path
    lock: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, root: Path) -> Report:
        """Reads a checkout.

        Raises:
            RegistryError: `dvc.lock` is missing, or an artifact is not the one it names.
        """
        path = root / "dvc.lock"
        if not path.is_file():
            raise RegistryError(f"{path} is missing: a run is known by its hashes. Run `dvc repro`.")
        stages = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("stages") or {}
        report = cls(root, {name: stage for name, stage in stages.items() if name != "track"})
        for name in ("artifacts/bundle", "artifacts/evaluation", "artifacts/evaluation.json"):
            report.output(name)
        report._verify()
        return report

    @cached_property
    def key(self) -> str:
        """SHA-256 over what went into every stage, what came out, and all parameters: equal passes have one key."""
        said = {"stages": self.lock_entries, "params": self.params}
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()

    @cached_property
    def lock_entries(self) -> dict[str, dict[str, Any]]:
        """Hashes and parameters of every stage, without sizes and commands."""
        return {
            name: {
                "deps": {entry["path"]: entry.get("md5") for entry in stage.get("deps", [])},
                "params": stage.get("params", {}),
                "outs": {entry["path"]: entry.get("md5") for entry in stage.get("outs", [])},
            }
            for name, stage in self.lock.items()
        }

    @cached_property
    def outputs(self) -> dict[str, str]:
        """DVC hash by path of everything the stages wrote."""
        return {path: md5 for stage in self.lock_entries.values() for path, md5 in stage["outs"].items()}

    def output(self, path: str) -> str:
        """DVC hash of one output.

        Raises:
            RegistryError: no stage in `dvc.lock` wrote it.
        """
        if path not in self.outputs:
            raise RegistryError(f"{self.root / 'dvc.lock'} does not name {path}; run `dvc repro` to the end.")
        return self.outputs[path]

    @property
    def dataset_version(self) -> str:
        return self.output("data/valid")

    @property
    def bundle_md5(self) -> str:
        return self.output("artifacts/bundle")

    @property
    def bundle_folder(self) -> Path:
        return self.root / "artifacts" / "bundle"

    @cached_property
    def params(self) -> dict[str, Any]:
        return dict(yaml.safe_load((self.root / "params.yaml").read_text(encoding="utf-8")) or {})

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        return self.json("artifacts/evaluation.json")

    @cached_property
    def bundle(self) -> dict[str, Any]:
        return self.json("artifacts/bundle/bundle.json")

    @cached_property
    def test_period(self) -> dict[str, str | None]:
        return self.json("artifacts/evaluation/test_period.json", {"from": None, "to": None})

    @cached_property
    def training(self) -> dict[str, dict[str, Any]]:
        """`artifacts/training/NAME.json` by matcher."""
        folder = self.root / "artifacts" / "training"
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}

    @property
    def synthetic(self) -> bool:
        return bool(self.evaluation.get("synthetic"))

    @property
    def primary(self) -> str:
        return str(self.evaluation.get("primary", "ndcg@10"))

    def json(self, path: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        """One JSON file of the checkout.

        Raises:
            RegistryError: it is missing and has no default.
        """
        file = self.root / path
        if not file.is_file():
            if default is None:
                raise RegistryError(f"{file} is missing; run `dvc repro`, or `dvc pull`.")
            return default
        return dict(json.loads(file.read_text(encoding="utf-8")))

    def _verify(self) -> None:
        for path, md5 in self.outputs.items():
            file = self.root / path
            if path.startswith(_REPORTED) and file.exists() and dvc_md5(file) != md5:
                raise RegistryError(f"{file} is not what dvc.lock says ({md5}); run `dvc repro`, then track again.")
