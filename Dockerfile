# The image of every Evergreen service: Airflow with its Dags and plugins, and MLflow. One lock, two stages.
#
#   docker build --build-arg CODE_VERSION="$(git rev-parse HEAD)" --tag evergreen .
#
# Ordered by how seldom it changes: new code only redoes the last four lines of each stage.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG UV_VERSION=0.13.8
ARG PIP_INDEX_URL=https://pypi.org/simple
ENV PIP_INDEX_URL=${PIP_INDEX_URL} UV_DEFAULT_INDEX=${PIP_INDEX_URL} UV_NO_PROGRESS=true UV_SYSTEM_CERTS=true
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --quiet --no-cache-dir uv==${UV_VERSION}
COPY requirements-stack.txt requirements-boosting.txt requirements-streaming.txt requirements-cluster.txt /tmp/
# BOOSTING=1 puts XGBoost and LightGBM in, STREAMING=1 what `evergreen consume` needs, CLUSTER=1 Ray.
ARG BOOSTING=
ARG STREAMING=
ARG CLUSTER=
# Bytecode is compiled once here: else each process pays seconds for it at its start.
RUN /opt/venv/bin/uv pip install --quiet --python /opt/venv/bin/python --no-cache --require-hashes \
        --compile-bytecode -r /tmp/requirements-stack.txt ${BOOSTING:+-r /tmp/requirements-boosting.txt} \
        ${STREAMING:+-r /tmp/requirements-streaming.txt} ${CLUSTER:+-r /tmp/requirements-cluster.txt} \
    && /opt/venv/bin/pip uninstall --quiet --yes uv
COPY . /opt/evergreen
# The project goes in as it lies there, for the command `evergreen`.
RUN cd /opt/evergreen \
    && /opt/venv/bin/pip install --quiet --no-cache-dir --no-deps --no-build-isolation --editable . \
    && /opt/venv/bin/python -m compileall -q ml dags plugins deploy embedded

FROM ${BASE}
# Git: the data registry is a Git repository. tini: a container's first process has to pass on signals. libgomp1: LightGBM.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client tini ca-certificates libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 evergreen \
    && useradd --uid 10001 --gid evergreen --home-dir /opt/evergreen --no-create-home evergreen \
    && install -d -o evergreen -g evergreen /opt/evergreen /opt/evergreen/var /opt/airflow /opt/airflow/logs /srv/registry
ENV EVERGREEN_HOME=/opt/evergreen/var \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/evergreen/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/evergreen/plugins \
    PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/opt/evergreen \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    DO_NOT_TRACK=true DVC_NO_ANALYTICS=true GX_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMEXPR_NUM_THREADS=1 \
    JE_ARROW_MALLOC_CONF=background_thread:false
WORKDIR /opt/evergreen
USER evergreen
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["airflow", "version"]
COPY --from=build /opt/venv /opt/venv
COPY --from=build --chown=evergreen:evergreen /opt/evergreen /opt/evergreen
# Which commit this is: lineage names it, and there is no .git here to ask.
ARG CODE_VERSION=
ENV EVERGREEN_CODE_VERSION=${CODE_VERSION}
