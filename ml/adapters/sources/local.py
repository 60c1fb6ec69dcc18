"""Look at a folder and its files on this machine, and say what is wrong with them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ml.errors import DataRejected, EvergreenError, SettingsError, Unavailable

STILL_SECONDS = 2
"""As long as a file system may take the same time for two changes."""


def entries(folder: Path, key: str) -> list[str]:
    """List the names in a folder; SettingsError, naming the settings key, if there is none."""
    try:
        with os.scandir(folder) as listing:
            return [entry.name for entry in listing]
    except (FileNotFoundError, NotADirectoryError) as err:
        raise SettingsError(
            f"{key}: there is no folder {folder}; correct {key}, or create the folder if nothing was delivered yet"
        ) from err
    except PermissionError as err:
        raise EvergreenError(f"{folder} may not be read by this user; grant it, then run this again") from err
    except OSError as err:
        raise Unavailable(f"{folder} cannot be read ({err.strerror}); see whether its disk is there") from err


def describe(path: Path) -> str | None:
    """Describe a file; None if it is not there, or so young that a change may leave its times as they are."""
    try:
        state = path.stat()
    except OSError:
        return None
    newest = max(state.st_mtime_ns, state.st_ctime_ns)
    if time.time_ns() - newest < STILL_SECONDS * 10**9:
        return None
    return f"{state.st_mtime_ns} {state.st_ctime_ns} {state.st_size} {state.st_ino}"


def stat(path: Path) -> os.stat_result:
    """Return when a file was changed, and its size, after a look whether it can be read; FileNotFoundError as it is."""
    try:
        with path.open("rb") as file:
            file.read(1)
            return os.fstat(file.fileno())
    except FileNotFoundError:
        raise
    except (IsADirectoryError, NotADirectoryError) as err:
        raise DataRejected(f"{path} is not a file; write one file a day, or correct its name in source") from err
    except PermissionError as err:
        raise EvergreenError(f"{path} may not be read by this user; grant it, then run this again") from err
    except OSError as err:
        raise Unavailable(f"{path} cannot be read ({err.strerror}); see whether its disk is there") from err
