"""Training by gradients: interrupted and gone on with, and over several devices and processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avrec.errors import ParamsError
from avrec.matching.checkpoints import Checkpoint, training_key
from avrec.matching.learner import Learner
from avrec.matching.registry import build
from avrec.matching.strategies import strategy_named
from avrec.settings import PROJECT

from .conftest import PARAMS, World

NETWORKS = ("two_tower", "graph", "sequence")


def worker(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Starts `tests.matching.worker`."""
    command = [sys.executable, "-m", "tests.matching.worker", *arguments]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return subprocess.Popen(command, cwd=PROJECT, env=env, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "state.npz") as found:
        return dict(found)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVREC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AVREC_CHECKPOINT_SECONDS", "0.000001")
    return tmp_path / "home"


def test_killed_and_started_again_it_ends_with_the_same_weights(tmp_path: Path, home: Path, world: World) -> None:
    said = {"AVREC_HOME": str(home), "AVREC_CHECKPOINT_SECONDS": "0.000001"}
    code, _ = ended(worker("two_tower", "none", str(tmp_path / "killed"), "2", **said))
    assert code == -9
    assert not (tmp_path / "killed").exists()
    assert [path.suffix for path in (home / "checkpoints").iterdir()] == [".npz"]
    code, errors = ended(worker("two_tower", "none", str(tmp_path / "again"), **said))
    assert code == 0, errors
    assert "going on after epoch 2" in errors
    assert not list((home / "checkpoints").iterdir())  # done: nothing is left behind
    world.matcher("two_tower").save(tmp_path / "whole")  # trained in this process, without an interruption
    for name in ("state.npz", "settings.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_goes_on_where_it_was(name: str, world: World, home: Path, monkeypatch: pytest.MonkeyPatch,
                                            tmp_path: Path) -> None:  # fmt: skip
    epoch = Learner.epoch
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "epoch", lambda self, number: epoch(self, number) if number < 4 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(name, PARAMS).fit(world.catalog, world.split.train)
    matcher = build(name, PARAMS)
    report = matcher.fit(world.catalog, world.split.train)
    whole = build(name, PARAMS)
    monkeypatch.setenv("AVREC_HOME", str(tmp_path / "other"))
    assert whole.fit(world.catalog, world.split.train).epochs == report.epochs
    for key, value in whole._state().items():
        np.testing.assert_array_equal(matcher._state()[key], value)


def test_other_data_or_settings_are_another_training(world: World) -> None:
    matcher = build("two_tower", PARAMS)
    key = training_key(matcher, world.catalog, world.split.train, None)
    assert key == training_key(build("two_tower", PARAMS), world.catalog, world.split.train, None)
    others = (
        training_key(build("graph", PARAMS), world.catalog, world.split.train, None),
        training_key(matcher, world.catalog, world.split.train, world.split.val),
        training_key(matcher, world.catalog.with_features({}), world.split.train, None),
        training_key(build("two_tower", PARAMS.model_copy(update={"seed": 8})), world.catalog, world.split.train, None),
    )
    assert len({key, *others}) == 5


def test_a_checkpoint_that_cannot_be_read_is_not_gone_on_with(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = Checkpoint("some")
    assert checkpoint.read() is None
    checkpoint.write({"weights": np.arange(3)}, {"epochs": [{"epoch": 1}]})
    found = checkpoint.read()
    assert found is not None
    assert found[0]["weights"].tolist() == [0, 1, 2]
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:100])
    assert checkpoint.read() is None
    assert "cannot be read" in capsys.readouterr().err


def test_two_devices_learn_what_one_does(tmp_path: Path, world: World) -> None:
    code, errors = ended(worker("two_tower", "mirrored", str(tmp_path / "two"), AVREC_HOME=str(tmp_path)))
    assert code == 0, errors
    one, two = world.matcher("two_tower")._state(), arrays(tmp_path / "two")
    assert np.mean(np.sum(one["vectors"] * two["vectors"], axis=1)) > 0.999


def test_two_processes_learn_the_same_weights(tmp_path: Path, world: World) -> None:
    with socket.socket() as a, socket.socket() as b:
        for s in (a, b):
            s.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{s.getsockname()[1]}" for s in (a, b)]
    processes = []
    for index in range(2):
        config = json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
        out = str(tmp_path / str(index))
        processes.append(worker("two_tower", "multi_worker", out, TF_CONFIG=config, AVREC_HOME=out))
    try:
        for process in processes:
            code, errors = ended(process)
            assert code == 0, errors
    finally:
        for process in processes:
            process.kill()
    assert (tmp_path / "0" / "state.npz").read_bytes() == (tmp_path / "1" / "state.npz").read_bytes()
    together, alone = arrays(tmp_path / "0"), world.matcher("two_tower")._state()
    assert np.mean(np.sum(together["vectors"] * alone["vectors"], axis=1)) > 0.999


def test_strategies_that_cannot_be_had_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ParamsError, match="TF_CONFIG is None; it must name the workers"):
        strategy_named("multi_worker")
    if not tf.config.list_logical_devices("TPU"):
        with pytest.raises(ParamsError, match="strategy tpu: no TPU answers; TPU_NAME must name one"):
            strategy_named("tpu")
