"""Where an extracted folder came from: the media's folder and the settings, for whoever works on with the results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from avrec.errors import DataError
from avrec.media.location import is_url
from avrec.params import FeaturesParams, parse_features

NAME = "origin.json"


@dataclass(frozen=True)
class Origin:
    """Media folder (local path or fsspec URL) and section `features` of the params that were used."""

    folder: str
    params: FeaturesParams


def write_origin(out: Path, origin: Origin) -> None:
    folder = origin.folder if is_url(origin.folder) else str(Path(origin.folder).resolve())
    values = {"folder": folder, "features": origin.params.model_dump(mode="json")}
    out.mkdir(parents=True, exist_ok=True)
    aside = out / f".{NAME}.part"
    aside.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    aside.replace(out / NAME)


def read_origin(out: Path) -> Origin:
    """What `write_origin` wrote.

    Raises:
        DataError: `out` was not written by `avrec features extract`.
    """
    path = out / NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Origin(str(values["folder"]), parse_features(values["features"], str(path)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read; give a folder that `avrec features extract` wrote.") from error
