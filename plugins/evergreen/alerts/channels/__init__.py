"""The channels that Evergreen has by itself: a module each, called like the channel.

To add one is to add a module here with an `evergreen.alerts.channel.Channel` called ``CHANNEL``; a separate package
announces its own by an entry point of the group ``evergreen.channels``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from evergreen.alerts.channel import Channel

BUILT_IN: dict[str, type[Channel]] = {
    module.name: import_module(f"{__name__}.{module.name}").CHANNEL for module in iter_modules(__path__)
}
"""The channels by name."""
