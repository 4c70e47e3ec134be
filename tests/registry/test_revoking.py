"""A version that learned from erased data is never used again; its metrics and its approval stay."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from avrec.errors import RevokedError
from avrec.privacy.receipts import Receipts
from avrec.privacy.scan import Scanner
from avrec.registry import approval, promotion, versions
from avrec.registry import client as server
from avrec.registry.gate import gate
from avrec.registry.revoking import revoke
from avrec.registry.runs import track
from avrec.serving.local import print_recommendations

from .conftest import CODE, Checkout, default_params, write_lock


def champion_of(root: Path) -> str:
    version = versions.register(track(root, CODE))
    gate(version, root)
    approval.record(version, approved=True, who="approver", why="Good enough for this test")
    promotion.promote(version)
    return version


def test_a_revoked_champion_serves_nobody(home: Path, checkout: Checkout, tmp_path: Path) -> None:
    roots = []
    for seed in (1, 2):
        roots.append(tmp_path / str(seed))
        shutil.copytree(checkout.root, roots[-1])
        write_lock(roots[-1], default_params(matching={"seed": seed}))
    first, second = (champion_of(root) for root in roots)
    artifacts = server.artifact_root()
    assert Scanner(["u001"]).folders([artifacts])
    Receipts.of_settings().add(["a stranger"], [], "2026-03-01")
    nobody = revoke(Receipts.of_settings().subjects(), (), ())
    assert (nobody.versions, nobody.champion) == ((), False)
    Receipts.of_settings().add(["u001"], [], "2026-03-01")
    done = revoke(Receipts.of_settings().subjects(), (), ())
    assert (set(done.versions), done.champion) == ({first, second}, True)
    assert Scanner(["u001"]).folders([artifacts]) == []
    for use in (
        lambda: promotion.rollback("approver", "To one that is revoked"),
        lambda: promotion.promote(first),
        lambda: promotion.promote(second),
        lambda: versions.fetch("champion", tmp_path / "fetched"),
        lambda: print_recommendations(None, ["i001"], 3, "champion"),
    ):
        with pytest.raises(RevokedError, match="Train again"):
            use()
    client = server.connect()
    champion = promotion.champion()
    assert approval.read_record(client, champion).why == "Good enough for this test"
    assert client.get_run(champion.run_id).data.metrics
    again = revoke(Receipts.of_settings().subjects(), (), ())
    assert (again.versions, again.runs) == ((), ())

    write_lock(tmp_path / "1", default_params(matching={"seed": 3}))
    challenger = versions.register(track(tmp_path / "1", CODE))
    judged = gate(challenger, tmp_path / "1")
    assert next(c for c in judged.checks if c.name == "champion").word == "void"
