"""Open the storage: named bytes in a local folder or under ``s3://``, whole or not at all.

The one client of storage; `ml.adapters.local_files` and `ml.adapters.s3` implement `Objects`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ml.adapters.local_files import LocalObjects
from ml.adapters.s3 import S3Objects
from ml.errors import SettingsError


class Objects(Protocol):
    """A flat store of named bytes; names are relative, with ``/`` between their parts."""

    @property
    def root(self) -> str:
        """Return the folder or the ``s3://bucket/prefix`` that names are relative to."""

    def uri(self, name: str) -> str:
        """Return where ``name`` is or would be; EvergreenError if the name would leave the root."""

    def put_bytes(self, name: str, data: bytes) -> str:
        """Write or replace ``name`` atomically; return its URI."""

    def put_file(self, name: str, path: Path) -> str:
        """Write or replace ``name`` by a copy of ``path`` atomically; return its URI."""

    def create_bytes(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists; of several callers at once exactly one gets True."""

    def get_bytes(self, name: str) -> bytes:
        """Read ``name``; MissingArtifact if there is no such object."""

    def get_file(self, name: str, path: Path) -> Path:
        """Copy ``name`` to the local ``path`` atomically, replacing it; return ``path``.

        The disk is not waited for: after a power cut the copy may be damaged, and its user looks or fetches it again.
        """

    def exists(self, name: str) -> bool:
        """Return whether ``name`` is there, whole."""

    def size(self, name: str) -> int:
        """Return the size of ``name`` in bytes; MissingArtifact if there is no such object."""

    def list(self, prefix: str = "") -> list[str]:
        """Return the names that start with ``prefix`` (any string), sorted, without temporaries."""

    def delete(self, name: str) -> None:
        """Remove ``name``; nothing happens if it is not there."""


def open_objects(root: str) -> Objects:
    """Open a store by its root.

    Parameters
    ----------
    root
        A local folder (need not exist yet), a ``file://`` URL, or ``s3://bucket[/prefix]``.

    Raises
    ------
    SettingsError
        If the root is empty or of another scheme. Nothing is contacted yet.
    """
    scheme, separator, rest = root.partition("://")
    if not separator:
        if not root:
            raise SettingsError("storage root is empty; give a folder or s3://bucket/prefix")
        return LocalObjects(str(Path(root).absolute()))
    if scheme == "file":
        return LocalObjects(str(Path(rest).absolute()))
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise SettingsError(f"storage root {root!r} is not usable; give a folder or s3://bucket/prefix")
    return S3Objects(bucket=bucket, prefix=prefix.strip("/"))
