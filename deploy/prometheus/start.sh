#!/bin/sh
# Write the secrets that compose gives where compose.yml looks for them, and become Prometheus.
set -eu
umask 077
printf %s "$METRICS_TOKEN" > /tmp/metrics-token
printf %s "$MLFLOW_PASSWORD" > /tmp/mlflow-password
unset METRICS_TOKEN MLFLOW_PASSWORD
exec prometheus --config.file=/deploy/compose.yml --storage.tsdb.path=/prometheus \
  --storage.tsdb.retention.time=90d --storage.tsdb.retention.size=4GB "$@"
