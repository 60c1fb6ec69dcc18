"""Carry all objects of the stack's bucket into a tar archive on standard output, or from standard input back.

    python -m deploy.objects save > s3.tar
    python -m deploy.objects load < s3.tar     afterwards the bucket holds what the archive holds, and nothing else
    python -m deploy.objects count

Runs inside the stack. Memory stays flat: objects are streamed one by one.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlparse

from deploy.init import make_buckets
from ml.adapters import s3, s3_errors
from ml.errors import EvergreenError

PART_BYTES = 16 << 20


def bucket_uri() -> str:
    """Return the ``s3://`` URI whose bucket is meant.

    Raises
    ------
    EvergreenError
        If the storage is no bucket.
    """
    uri = os.environ.get("EVERGREEN_STORAGE", "")
    if not uri.startswith("s3://"):
        raise EvergreenError(f"EVERGREEN_STORAGE is {uri!r}: only a bucket, s3://..., is carried")
    return uri


def listed(client: Any, bucket: str) -> Iterator[tuple[str, int]]:
    """Yield key and size of every object."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", ()):
            if not item["Key"].endswith("/"):
                yield item["Key"], item["Size"]


def save(client: Any, bucket: str, out: Any) -> int:
    """Write every object into ``out``; return how many. One that is removed meanwhile is left out."""
    count = 0
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for key, _ in list(listed(client, bucket)):
            try:
                answer = client.get_object(Bucket=bucket, Key=key)
            except client.exceptions.NoSuchKey:
                continue
            member = tarfile.TarInfo(key)
            member.size = answer["ContentLength"]
            member.mtime = int(answer["LastModified"].timestamp())
            archive.addfile(member, answer["Body"])
            count += 1
    return count


def load(client: Any, bucket: str, source: Any) -> int:
    """Put every object of ``source`` into the bucket, then remove what else it held; return how many were put."""
    put = set()
    with tarfile.open(fileobj=source, mode="r|") as archive:
        for member in archive:
            body = archive.extractfile(member)
            if body is None:
                continue
            with tempfile.SpooledTemporaryFile(max_size=PART_BYTES) as whole:  # A stream cannot be read twice.
                shutil.copyfileobj(body, whole, 1 << 20)
                whole.seek(0)
                client.upload_fileobj(whole, bucket, member.name)
            put.add(member.name)
    for key, _ in list(listed(client, bucket)):
        if key not in put:
            client.delete_object(Bucket=bucket, Key=key)
    return len(put)


def main() -> int:
    """Do what the first argument says; counts go to standard error."""
    verb = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        uri = bucket_uri()
        make_buckets([uri])
        client, bucket = s3.client(), urlparse(uri).netloc
        with s3_errors.errors(uri):
            if verb == "save":
                sys.stderr.write(f"{save(client, bucket, sys.stdout.buffer)} objects saved\n")
            elif verb == "load":
                sys.stderr.write(f"{load(client, bucket, sys.stdin.buffer)} objects loaded\n")
            elif verb == "count":
                sys.stdout.write(f"{sum(1 for _ in listed(client, bucket))}\n")
            else:
                sys.stderr.write("usage: python -m deploy.objects save | load | count\n")
                return 2
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
