"""The reports and files behind the page's links, and no others."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ml.adapters.local_files import checked_name
from ml.errors import MissingArtifact
from ml.wiring import Services

SERVED = re.compile(
    r"(monitor|validation|quarantine|predictions|shadow|backtest|request_performance)/.+"
    r"|runs/[^/]+/(data/window|validation/report|parts/parts|check/check|verdict)\.(json|html)"
)
OF_VERSION = re.compile(r"version=(\d{1,9})/((?:card|lineage|evaluation|monitoring)/.+)")
TYPES = {
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "md": "text/plain; charset=utf-8",
    "png": "image/png",
    "parquet": "application/vnd.apache.parquet",
}
"""What may be read, by how its name ends."""


@dataclass(frozen=True)
class File:
    """A file's content and what kind it is; HTML comes from data, and is not to be trusted with a user's session."""

    name: str
    data: bytes
    media_type: str


def file(services: Services, name: str) -> File:
    """Read a file that some part of the page names.

    Parameters
    ----------
    name
        Of storage (``monitor/…``, ``validation/…``, ``quarantine/…``, ``predictions/…``, ``shadow/…``,
        ``request_performance/…``; of a training's workspace only what holds no settings), or kept with a version's run
        (``version=3/card/model_card.html``).

    Raises
    ------
    MissingArtifact
        If there is no such file, or it is none that is shown.
    EvergreenError
        If the name is no name: it climbs, or is absolute.
    """
    checked_name(name)
    media_type = TYPES.get(name.rpartition(".")[2])
    of_version = OF_VERSION.fullmatch(name)
    if media_type is None or not (of_version or SERVED.fullmatch(name)):
        raise MissingArtifact(f"{name!r} is no file that is shown here; go back and follow a link")
    if of_version:
        version, artifact = int(of_version[1]), of_version[2]
        try:
            data = services.tracking.read_file(version, artifact, lambda path: path.read_bytes())
        except OSError as err:
            raise MissingArtifact(f"version {version} has no {artifact}; look at its run in MLflow") from err
        return File(name, data, media_type)
    return File(name, services.storage.get_bytes(name), media_type)
