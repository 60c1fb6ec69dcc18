"""Remember for a moment what was read, so that a page of many parts does not ask for the same thing many times.

The memory is the process's own. What fails is not remembered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from cachetools import TLRUCache, cached

T = TypeVar("T")
MOST = 20_000
"""So many things are remembered at once; then those that were not asked for longest go."""

MISSING = object()


class Memory:
    """Things by their key, each for as many seconds as was said when it was kept."""

    def __init__(self) -> None:
        self._cache: Any = TLRUCache(MOST, ttu=lambda _, entry, now: now + entry[1])
        self._condition = threading.Condition()
        self._entry = cached(self._cache, key=lambda key, *_: key, condition=self._condition)(
            lambda _, seconds, compute: (compute(), seconds)
        )

    def recall(self, key: Hashable) -> Any:
        """Return what is still remembered, else `MISSING`."""
        with self._condition:
            return self._cache.get(key, (MISSING,))[0]

    def keep(self, key: Hashable, value: Any, seconds: float) -> None:
        """Remember a value from now on."""
        with self._condition:
            self._cache[key] = (value, seconds)

    def remembered(self, key: Hashable, seconds: float, compute: Callable[[], T]) -> T:
        """Return what is still remembered, or compute it; of callers at once one does."""
        value: T = self._entry(key, seconds, compute)[0]
        return value

    def forget(self) -> None:
        """Forget everything."""
        with self._condition:
            self._cache.clear()


MEMORY = Memory()
