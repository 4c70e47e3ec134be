"""How long the logged model takes for one request."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from avrec.registry.model import FOLDER
from avrec.registry.policy import LatencyPolicy
from avrec.registry.verdict import Check


def latency(model: Path, policy: LatencyPolicy) -> Check:
    """Loads a fetched and checked pyfunc and times requests of people it knows, one at a time.

    Args:
        model: What `versions.fetch_model` returned.
        policy: How many, how long, and the bound.
    """
    import mlflow.pyfunc
    import pandas as pd

    loaded = mlflow.pyfunc.load_model(str(model))
    with np.load(model / FOLDER / "histories.npz", allow_pickle=False) as arrays:
        users = [str(user) for user in arrays["user_ids"][: policy.requests]] or ["nobody"]
    requests = [pd.DataFrame([{"user_id": users[i % len(users)], "k": policy.k}]) for i in range(policy.requests)]
    loaded.predict(requests[0])  # the first one builds what later ones find
    seconds = []
    for request in requests:
        started = time.perf_counter()
        loaded.predict(request)
        seconds.append(time.perf_counter() - started)
    p95 = 1000 * float(np.quantile(seconds, 0.95))
    text = f"95 of 100 requests for {policy.k} items answered within {p95:.0f} ms."
    return Check("latency.p95_ms", p95 <= policy.max_p95_ms, text, p95, policy.max_p95_ms)
