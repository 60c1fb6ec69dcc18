#!/bin/sh
# Do what the postgres image does at its start: make a cluster on an empty volume, run what lies in
# /docker-entrypoint-initdb.d once, then serve.
set -eu
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }

: "${POSTGRES_PASSWORD:?is not set}"
chown postgres:postgres "$PGDATA"
chmod 700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password=$(mktemp)
    chown postgres "$password"
    printf '%s\n' "$POSTGRES_PASSWORD" > "$password"
    as_postgres initdb --username=postgres --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 > /dev/null
    rm "$password"
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    as_postgres pg_ctl --wait --options="-c listen_addresses=''" start
    for script in /docker-entrypoint-initdb.d/*.sh; do
        [ ! -f "$script" ] || as_postgres sh "$script"
    done
    as_postgres pg_ctl --wait --mode=fast stop
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups postgres -c listen_addresses='*'
