"""The kinds of gate rules that Evergreen has by itself: a module each, called like the kind.

To add one is to add a module here with a `ml.core.gate.rule.GateRule` called ``RULE``; a separate package announces its
own by an entry point of the group ``evergreen.rules``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from ml.core.gate.rule import GateRule

BUILT_IN: dict[str, type[GateRule]] = {
    module.name: import_module(f"{__name__}.{module.name}").RULE for module in iter_modules(__path__)
}
"""The rules by kind."""
