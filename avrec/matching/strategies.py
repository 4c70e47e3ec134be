"""Over which devices a network is trained, by name (`tf.distribute`)."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

import tensorflow as tf

from avrec.errors import ParamsError

EXAMPLE = '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'


@cache
def strategy_named(name: str) -> Any:
    """A strategy of `tf.distribute`; made once a process, since workers connect once.

    Args:
        name: `none`; `mirrored`: all GPUs of this machine, or all its logical CPU devices where it has no GPU;
            `multi_worker`: the workers that the environment variable TF_CONFIG names, each a process that runs the
            same stage; `tpu`: the one that TPU_NAME names, or the local one.

    Raises:
        ParamsError: TF_CONFIG is missing or names no workers, or there is no TPU.
    """
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multi_worker":
        _check_workers()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _tpu()
    return tf.distribute.get_strategy()


def _check_workers() -> None:
    said = os.environ.get("TF_CONFIG")
    try:
        config = json.loads(said or "")
        known = bool(config["cluster"]["worker"]) and isinstance(config["task"]["index"], int)
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise ParamsError(
            f"strategy multi_worker: TF_CONFIG is {said!r}; it must name the workers and which this process is, "
            f"as in {EXAMPLE}. Or use strategy: none."
        )


def _tpu() -> Any:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError, RuntimeError) as error:
        raise ParamsError(
            "strategy tpu: no TPU answers; TPU_NAME must name one that this machine reaches, and TensorFlow be built "
            f"for TPUs ({str(error).splitlines()[0] if str(error) else type(error).__name__}). Or use strategy: none."
        ) from error
