"""What we say to MLflow: runs, model versions, the gate, approval records, promotion and rollback."""

import os

# Before the first `import mlflow` of the process, or it is too late.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
