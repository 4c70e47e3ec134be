from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest

from avrec.errors import WeightsError
from avrec.features import weights as module
from avrec.features.weights import (
    ALL,
    IMAGENET_NAMES,
    MOBILENET,
    MUSICNN,
    MUSICNN_DATA,
    Weights,
    find_together,
    find_weights,
)
from avrec.params import VisualParams


@pytest.mark.parametrize("weights", ALL, ids=lambda w: w.name)
def test_installed_weights_are_found(weights: Weights) -> None:
    assert find_weights(weights).is_file()


def test_absent_weights_say_what_to_install() -> None:
    with pytest.raises(WeightsError, match=r"not-installed is not installed.*requirements-weights\.txt"):
        find_weights(Weights("not-installed", "a/b.pb", "0" * 64))


def test_a_folder_of_weights_comes_first_and_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVREC_WEIGHTS", str(tmp_path))
    copy = tmp_path / IMAGENET_NAMES.name
    copy.write_bytes(find_weights(IMAGENET_NAMES).read_bytes())
    assert find_weights(IMAGENET_NAMES) == copy
    copy.write_bytes(copy.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="is not the file it should be"):
        find_weights(IMAGENET_NAMES)


def test_every_package_is_pinned_with_hashes(root: Path) -> None:
    text = (root / "requirements-weights.txt").read_text(encoding="utf-8")
    for weights in ALL:
        assert re.search(rf"^{re.escape(weights.package)}==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)


def test_weights_are_never_random(monkeypatch: pytest.MonkeyPatch) -> None:
    from avrec.features.mobilenet import build_mobilenet

    monkeypatch.setattr(module, "_installed", lambda weights: None)
    with pytest.raises(WeightsError, match=MOBILENET.name):
        build_mobilenet(VisualParams())


def test_a_network_of_several_files_names_them_all_and_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVREC_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(module, "_installed", lambda weights: None)
    with pytest.raises(WeightsError, match=r"musicnn/MTT_musicnn/\.index, musicnn/MTT_musicnn/\.data") as absent:
        find_together((MUSICNN, MUSICNN_DATA))
    assert f"not below AVREC_WEIGHTS={tmp_path}" in str(absent.value)
    assert "requirements-weights-optional.txt" in str(absent.value)
    assert "holds .index, .data-00000-of-00001" in str(absent.value)
    first, second = (Weights("p", f"net/{name}", sha256(name.encode()).hexdigest()) for name in ("one", "two"))
    for weights, folder in ((first, "net"), (second, "")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / weights.name).write_text(weights.name)
    with pytest.raises(WeightsError, match="must be in one folder, and lie in"):
        find_together((first, second))
    (tmp_path / "net" / "two").write_text("two")
    assert [path.parent for path in find_together((first, second))] == [tmp_path / "net"] * 2
