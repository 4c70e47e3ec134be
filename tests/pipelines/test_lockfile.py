from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import lockfile

ENTRIES = {
    "split": {"cmd": "s", "deps": [{"path": "data/valid", "md5": "a"}], "outs": [{"path": "data/split", "md5": "b"}]},
    "validate": {"cmd": "v", "outs": [{"path": "data/valid", "md5": "a"}, {"path": "data/quarantine", "md5": "q"}]},
}


def test_a_narrowed_lock_names_the_wanted_outputs_only_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / lockfile.NAME
    path.write_bytes(lockfile.dump(ENTRIES))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), lockfile.narrowed(tmp_path, ["data/valid/items.parquet"]):
        assert lockfile.written(lockfile.read(tmp_path)) == {"data/valid": "a"}
        raise KeyboardInterrupt
    assert path.read_bytes() == before
