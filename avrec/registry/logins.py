"""Who may do what in MLflow: whoever has a login reads, the platform's own account alone writes.

MLflow's own permissions let everybody with a login make experiments, at any address the server can write to, and put
files there: beside a model, or among the DAGs, where they would be run. `mlflow/basic_auth.ini` names `authenticate`.
"""

from __future__ import annotations

from typing import Any

WRITER = "admin"
READING = ("GET", "HEAD", "OPTIONS")
QUESTIONS = (
    "/search", "/search-datasets", "/get-latest-versions", "/graphql", "/batchGetInfos", "/traces/metrics",
    "/calculate-filter-correlation",
)  # fmt: skip
"""Ends of the paths that are asked by POST and change nothing."""


def authenticate() -> Any:
    """MLflow's check of name and password; then 403 to a request that would change something, except the writer's.

    Returns:
        The authorization, or the response (401, 403) that ends the request.
    """
    from flask import request
    from mlflow.server.auth import authenticate_request_basic_auth, make_forbidden_response
    from werkzeug.datastructures import Authorization

    found = authenticate_request_basic_auth()
    if not isinstance(found, Authorization) or found.username == WRITER or only_reads(request.method, request.path):
        return found
    return make_forbidden_response()


def only_reads(method: str, path: str) -> bool:
    """Whether a request changes nothing; what is not known to read counts as writing."""
    return method in READING or (method == "POST" and path.endswith(QUESTIONS))
