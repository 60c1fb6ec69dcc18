#!/bin/sh
# Run once by the postgres image, on an empty volume: a database and a user for each of the two servers.
set -eu
psql --username postgres --set ON_ERROR_STOP=1 \
     --set airflow_password="$AIRFLOW_DB_PASSWORD" --set mlflow_password="$MLFLOW_DB_PASSWORD" <<'SQL'
CREATE USER airflow PASSWORD :'airflow_password';
CREATE DATABASE airflow OWNER airflow;
CREATE USER mlflow PASSWORD :'mlflow_password';
CREATE DATABASE mlflow OWNER mlflow;
SQL
