"""The kinds of sources that Evergreen has by itself: a module each, called like the kind.

A module holds what ``params.yaml`` may say of it, a `ml.adapters.sources.SourceKind` called ``SOURCE``; what reads the
data is imported when the source is opened. A separate package announces its own by an entry point of the group
``evergreen.sources``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from ml.adapters.sources import SourceKind

BUILT_IN: dict[str, type[SourceKind]] = {
    module.name: import_module(f"{__name__}.{module.name}").SOURCE for module in iter_modules(__path__)
}
"""The sources by kind."""
