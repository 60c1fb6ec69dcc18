"""Find the charting library that the page loads, as it is installed on this machine: nothing comes from a network."""

from __future__ import annotations

import gzip
from functools import cache
from importlib import metadata, util
from pathlib import Path

NAME = "plotly.min.js"
"""How the page asks for it."""


def edition() -> bytes:
    """Return the version of the installed package; empty without it."""
    try:
        return metadata.version("plotly").encode()
    except metadata.PackageNotFoundError:
        return b""


@cache
def compressed() -> bytes | None:
    """Return the library, compressed; None where the package plotly is not installed.

    The package itself is not imported.
    """
    package = util.find_spec("plotly")
    if package is None or package.origin is None:
        return None
    library = Path(package.origin).parent / "package_data" / NAME
    return gzip.compress(library.read_bytes(), mtime=0) if library.is_file() else None
