#!/bin/sh
# Make stand-ins for the images that docker-compose.yaml names, where no container registry can be reached (CI is such
# a place): the same services inside, from Debian's and PyPI's packages.
#
#   sudo tests/deploy/standin/build.sh
#   export COMPOSE_FILE=docker-compose.yaml:tests/deploy/standin/docker-compose.standin.yaml
#   make compose-up
#
# Needs root, because debootstrap unpacks a system with its owners and device nodes; and the packages debootstrap
# and docker.io. A base that is there already is kept (REBUILD=1 makes it anew). The machine's own package mirrors
# and certificates go into the base: these images are for this machine, publish none of them.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
base=evergreen-standin/python
suite=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

[ "$(id -u)" = 0 ] || { echo 'build.sh: debootstrap needs root; run it with sudo' >&2; exit 2; }
for command in debootstrap docker tar; do
    command -v $command > /dev/null || { echo "build.sh: $command is missing; install its package" >&2; exit 2; }
done

if [ -n "${REBUILD:-}" ] || ! docker image inspect $base > /dev/null 2>&1; then
    root=$(mktemp -d /var/tmp/evergreen-standin.XXXXXX)
    trap 'rm -rf "$root"' EXIT INT TERM
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,git,openssh-client,tini,wget \
        $suite "$root/base" "$mirror"
    # As in Debian's own images: apt leaves neither packages nor caches in the layers that are made on this base.
    printf '%s\n' 'APT::Keep-Downloaded-Packages "false";' 'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' \
        > "$root/base/etc/apt/apt.conf.d/docker-clean"
    rm -rf "$root"/base/var/cache/apt/*.bin "$root"/base/var/cache/apt/archives/*.deb "$root"/base/var/lib/apt/lists/*
    cp /etc/ssl/certs/ca-certificates.crt "$root/base/etc/ssl/certs/ca-certificates.crt"
    [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/base/etc/pip.conf"
    if [ -d /etc/apt/apt.conf.d ]; then
        grep -lis proxy /etc/apt/apt.conf.d/* | while read -r file; do cp "$file" "$root/base/etc/apt/apt.conf.d/"; done
    fi
    tar --create --directory "$root/base" . | docker import \
        --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8' - $base > /dev/null
fi

for name in postgres redis seaweedfs mailpit prometheus; do
    docker build --quiet --network host --build-arg BASE=$base --build-arg "PIP_INDEX_URL=${PIP_INDEX_URL:-https://pypi.org/simple}" \
        --target $name --tag evergreen-standin/$name "$here" > /dev/null
    echo "evergreen-standin/$name: $(docker image inspect --format '{{.Size}}' evergreen-standin/$name | awk '{printf "%d MB", $1 / 1e6}')"
done
