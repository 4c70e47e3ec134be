"""Read by every Airflow process when it starts.

The scheduler's workers fork a process for each task. What they have imported before the fork is there at once in every
task; what they have not is imported anew in each, half a second a time. So the scheduler imports it first.
"""

import importlib
import sys

# What a task of ours is found to import on the way from its fork to its own first line, and after its last.
TASK_MODULES = (
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.hitl",
    "airflow.providers.standard.operators.python",
    "airflow.sdk.bases.decorator",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.connection",
    "airflow.sdk.definitions.decorators.condition",
    "airflow.sdk.definitions.decorators.setup_teardown",
    "airflow.sdk.definitions.decorators.task_group",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.version",
    "jinja2.ext",
    "packaging.requirements",
)

if "scheduler" in sys.argv:
    for module in TASK_MODULES:
        importlib.import_module(module)
