"""How much memory this process may take."""

from __future__ import annotations

from pathlib import Path

import psutil

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much a container may take, by the version of its control groups."""


def limit_bytes() -> int:
    """Return the memory of the machine, or of the container where that has less."""
    total = int(psutil.virtual_memory().total)
    texts = [path.read_text(encoding="ascii").strip() for path in LIMITS if path.exists()]
    return min([total, *(int(text) for text in texts if text.isdigit())])
