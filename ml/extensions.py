"""Find what separate packages add: sources, gate rules, metrics, drift methods, and whatever else has a group.

A package announces each by an entry point of a group (`importlib.metadata`); ``docs/extending.md`` shows how.
Names are listed without importing anything. An object is imported when a name is used, so a package that is broken
stops only what uses it, and the error names the package.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from ml.errors import SettingsError

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtensionPoint(Generic[T]):
    """Something of which there are several kinds, each with a name, and of which a package can add more.

    Attributes
    ----------
    group
        The group of entry points, such as ``evergreen.metrics``.
    noun
        What one of them is, in messages.
    built_in
        ``module:attribute`` of a mapping of those that Evergreen has by itself; imported when first needed.
    base
        ``module:attribute`` of the class that each must be an instance of, or a subclass of if it is a class.
    of_name
        ``module:attribute`` of a function from a name that carries a number to what has it, or None; empty for none.
        What it makes is found by name, and is not listed.
    """

    group: str
    noun: str
    built_in: str
    base: str
    of_name: str = ""

    def names(self) -> tuple[str, ...]:
        """Return all names, the built-in ones first; nothing of another package is imported."""
        own = self._own()
        return (*own, *(name for name in announced(self.group) if name not in own))

    def installed(self) -> tuple[str, ...]:
        """Return the names that other packages add."""
        return tuple(announced(self.group))

    def load(self, name: str) -> T:
        """Return what has the name.

        Raises
        ------
        SettingsError
            If nothing has it, if two have it, or if the package that announces it is broken.
        """
        own, points = self._own(), announced(self.group).get(name, ())
        if name in own and not points:
            return own[name]
        if not points and self.of_name and (made := _attribute(self.of_name)(name)) is not None:
            return cast("T", made)
        if not points:
            raise SettingsError(f"{name!r} is not a {self.noun}; use one of {', '.join(self.names())}")
        if name in own or len(points) > 1:
            others = " and ".join(package(point) for point in points)
            also = ", and Evergreen has one of that name" if name in own else ""
            raise SettingsError(
                f"the {self.noun} {name!r} is announced by {others}{also}: rename it there, or uninstall what is not "
                "needed"
            )
        return self._checked(points[0])

    def of_settings(self, name: str) -> T:
        """Return what has the name, as `load` does, for a validator of settings.

        Raises
        ------
        ValueError
            Where `load` raises a SettingsError, so that the message says at which key.
        """
        try:
            return self.load(name)
        except SettingsError as err:
            raise ValueError(str(err)) from err

    def usable(self) -> tuple[T, ...]:
        """Return all that can be loaded; broken ones are named in the log."""
        return _usable(self, tuple(sys.path))

    def _own(self) -> Mapping[str, T]:
        mapping: Mapping[str, T] = _attribute(self.built_in)
        return mapping

    def _checked(self, point: EntryPoint) -> T:
        """Import what a package announces, whatever goes wrong in it, and check that it is of our kind."""
        what = f"the {self.noun} {point.name!r} of the package {package(point)}"
        try:
            loaded = point.load()
        except Exception as err:
            raise SettingsError(
                f"{what} cannot be imported from {point.value} ({type(err).__name__}: {err}); update or uninstall the "
                "package, or do not use it"
            ) from err
        base = _attribute(self.base)
        if not (issubclass(loaded, base) if isinstance(loaded, type) else isinstance(loaded, base)):
            raise SettingsError(
                f"{what} is not a {base.__module__}.{base.__name__} but {point.value}: see docs/extending.md"
            )
        own_name = getattr(loaded, "name", point.name)
        if own_name != point.name:
            raise SettingsError(f"{what} calls itself {own_name!r}: give the entry point and the object one name")
        checked: T = loaded
        return checked


def announced(group: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return the entry points of a group by name, in the order of their names; usually one a name."""
    return _announced(group, tuple(sys.path))


@cache
def _usable(point: ExtensionPoint[T], _path: tuple[str, ...]) -> tuple[T, ...]:
    loaded = []
    for name in point.names():
        try:
            loaded.append(point.load(name))
        except SettingsError as err:
            logger.warning("extensions: left out: %s", err)
    return tuple(loaded)


@cache
def _announced(group: str, path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    by_name: dict[str, tuple[EntryPoint, ...]] = {}
    for point in sorted(_of_all_groups(path).select(group=group), key=lambda point: point.name):
        if point not in by_name.get(point.name, ()):
            by_name[point.name] = (*by_name.get(point.name, ()), point)
    return by_name


@cache
def _of_all_groups(_path: tuple[str, ...]) -> Any:
    """Read the metadata of all installed packages, once for each place where packages are looked for.

    What Python 3.11 and what newer ones return has no common type; both have ``select``.
    """
    return entry_points()


def package(point: EntryPoint) -> str:
    """Return the name of the package that announces an entry point."""
    return point.dist.name if point.dist else point.value


def _attribute(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
