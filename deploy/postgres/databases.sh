#!/bin/sh
# A database and a user for each of the two servers, with the passwords of .env. Run by the postgres image on an empty
# volume, and by each `make compose-up`: what is there stays, and a changed password holds.
set -eu
psql --username postgres --quiet --set ON_ERROR_STOP=1 \
     --set airflow_password="$AIRFLOW_DB_PASSWORD" --set mlflow_password="$MLFLOW_DB_PASSWORD" <<'SQL'
SELECT format('CREATE USER %I', name) FROM unnest(ARRAY['airflow', 'mlflow']) AS name
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER USER airflow PASSWORD :'airflow_password';
ALTER USER mlflow PASSWORD :'mlflow_password';
SELECT format('CREATE DATABASE %I OWNER %I', name, name) FROM unnest(ARRAY['airflow', 'mlflow']) AS name
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
SQL
