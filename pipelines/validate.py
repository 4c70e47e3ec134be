"""Stage `validate`: data/dataset -> data/valid, data/quarantine, artifacts/validation."""

from __future__ import annotations

from avrec.datasets.dataset import Dataset
from avrec.media.probe import probe_items
from avrec.params import Params
from avrec.settings import settings
from avrec.validation.docs import render
from avrec.validation.gx import Validator
from avrec.validation.validate import Validation, check_whole, clean_dataset, write_media
from pipelines.stage import ARTIFACTS, DATA, fresh, run, run_id, write_json


def work(params: Params) -> None:
    raw = Dataset(DATA / "dataset")
    result, validator = Validation(), Validator()
    quarantine, results = fresh(DATA / "quarantine"), fresh(ARTIFACTS / "validation")
    valid = clean_dataset(raw, params.validation, fresh(DATA / "valid"), quarantine, result, validator)
    media = probe_items(valid.table("items"), valid.meta.media_root, params.features.limits)
    write_media(media, valid.folder, quarantine)
    check_whole(valid, media, params.validation, result, validator)
    write_json(results / "results.json", result.document(valid.meta))
    write_json(results / "profile.json", result.profile)
    write_json(ARTIFACTS / "validation.json", result.metrics())
    # Pages differ from run to run and are for people: beside the outputs, and there even when the data may not pass.
    page = render(results / "results.json", settings().reports / "data_docs" / run_id())
    print(f"validate: data docs at {page}", flush=True)
    for name, rows in result.metrics()["quarantined"].items():
        if rows:
            print(f"validate: {rows} rows of {name} are put into quarantine", flush=True)
    result.raise_if_critical()


if __name__ == "__main__":
    run("validate", work)
