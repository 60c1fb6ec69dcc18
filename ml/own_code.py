"""Find the code that an adopter adds: modules beside ``params.yaml``, and classes and functions of installed packages.

What such code does decides a training result, so it is hashed: a fingerprint and a lineage name it, a trusted type can
be pinned to it, and a version brings along the modules that it was trained with.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

from ml.errors import SettingsError

PINNED = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(@[0-9a-f]{12,64})?$"
"""A type by its full path, alone or with the first digits of the SHA-256 of the code that was reviewed."""
LOCKED = frozenset({"numpy", "pandas", "scipy", "sklearn"}) | sys.stdlib_module_names
"""Top-level packages whose releases the lock names, and those of Python itself."""
PROJECT = frozenset({"ml", "evergreen", "embedded", "deploy", "dags", "plugins", "tests", "bench"})
"""Top-level packages of Evergreen's own, which lie beside the settings of the model at the top."""
INSTALLED = {"site-packages", "dist-packages"}
SHOWN = 12
_FOLDERS: list[Path] = []
_ARCHIVED: dict[str, dict[str, ModuleType]] = {}
_ACTIVE: set[str] = set()


def use(folder: Path) -> None:
    """Let the modules in a folder be imported, after those that are installed."""
    folder = folder.absolute()
    if folder not in _FOLDERS:
        _FOLDERS.append(folder)
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        importlib.invalidate_caches()


def search_path() -> tuple[Path, ...]:
    """Return the folders that `use` was called with, for a process of its own."""
    return tuple(_FOLDERS)


def find(path: str, where: str) -> Any:
    """Import what a path names, ``package.module.Name`` or ``package.module:name``, and return it.

    Raises
    ------
    SettingsError
        Naming ``where`` the path was given, if two models have a module of that name, or the module hides behind an
        installed one.
    Exception
        Whatever the module raises while it is imported.
    """
    _refuse_ambiguous(top_of(path), where)
    module, _, name = path.rpartition(":" if ":" in path else ".")
    return getattr(importlib.import_module(module), name)


def top_of(path: str) -> str:
    """Return the top-level module of an import path."""
    return re.split(r"[.:]", path, maxsplit=1)[0]


def is_own(path: str) -> bool:
    """Return whether an import path leads to code of which the lock says nothing."""
    return top_of(path) not in LOCKED | PROJECT


def hashes(paths: Iterable[str]) -> dict[str, str]:
    """Return the hash of each top-level module that import paths lead to and the lock does not name."""
    return {top: sha256(top) for top in sorted({top_of(path) for path in paths if is_own(path)})}


def sha256(top: str) -> str:
    """Hash the code of a top-level module: of a package its release and its Python files, else what `files` gives.

    Empty if there is no such module.
    """
    spec = _spec(top)
    if spec is None:
        return ""
    if _is_installed(spec):
        return _installed_sha256(top, spec.origin or "", tuple(spec.submodule_search_locations or ()))
    digest = hashlib.sha256()
    for name, text in files(top).items():
        digest.update(name.encode() + b"\0" + hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()


def files(top: str) -> dict[str, str]:
    """Return the text of a module that is not installed, and of the modules beside it that it imports, by path.

    The paths are relative to the folder in which it lies.
    """
    spec = _spec(top)
    if spec is None or _is_installed(spec):
        return {}
    folder = _folder(spec)
    texts: dict[str, str] = {}
    pending, seen = [top], {top}
    while pending:
        for path in _sources(folder, pending.pop()):
            texts[path.relative_to(folder).as_posix()] = text = path.read_text(encoding="utf-8")
            further = {name for name in _imports(text) if name not in PROJECT and any(_sources(folder, name))}
            pending += sorted(further - seen)
            seen |= further
    return dict(sorted(texts.items()))


def pinned(path: str) -> str:
    """Return how ``fit.trusted_types`` names a type as its code is now, such as ``acme.Blend@3f2a9c1d0b7e``."""
    code = sha256(top_of(path)) if is_own(path) else ""
    return f"{path}@{code[:SHOWN]}" if code else path


def reviewed(trusted: Iterable[str], held: Iterable[str]) -> list[str]:
    """Return the names of the trusted types, after a look at those that are held and pinned to a hash.

    Raises
    ------
    SettingsError
        If the code of one has changed since it was reviewed.
    """
    pins: dict[str, set[str]] = {}
    for entry in trusted:
        name, _, pin = entry.partition("@")
        pins.setdefault(name, set()).add(pin)
    for name in sorted(set(held) & pins.keys()):
        top = top_of(name)
        if "" in pins[name] or top in _ACTIVE:
            continue
        code = sha256(top)
        if not any(code.startswith(pin) for pin in pins[name]):
            was = " or ".join(sorted(pin[:SHOWN] for pin in pins[name]))
            raise SettingsError(
                f"{name} was reviewed when the code of {top!r} was {was}, and it is {code[:SHOWN] or 'not there'} now: "
                f"somebody changed it. Review what changed, and name {pinned(name)} under fit.trusted_types"
            )
    return list(pins)


@contextmanager
def as_recorded(recorded: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Let the modules that a version was trained with stand for those of their names, until the end of the block.

    Only what differs from the present code is put in its place. What is loaded meanwhile keeps its own code.

    Parameters
    ----------
    recorded
        By top-level module its ``sha256`` and the texts of its ``files``, as a lineage that was checked holds them.
    """
    changed = {top: code for top, code in recorded.items() if code.get("files") and code["sha256"] != sha256(top)}
    if not changed:
        yield
        return
    before = {name: module for name, module in sys.modules.items() if _belongs(name, changed)}
    try:
        for name in before:
            del sys.modules[name]
        for top, code in changed.items():
            sys.modules.update(_archived(top, code["sha256"], code["files"]))
        _ACTIVE.update(changed)
        yield
    finally:
        _ACTIVE.difference_update(changed)
        for name in [name for name in sys.modules if _belongs(name, changed)]:
            del sys.modules[name]
        sys.modules.update(before)


def _belongs(name: str, changed: Mapping[str, Mapping[str, Any]]) -> bool:
    top = name.partition(".")[0]
    return any(top in _tops(code["files"]) for code in changed.values())


def _tops(names: Iterable[str]) -> set[str]:
    return {name.split("/")[0].removesuffix(".py") for name in names}


def _archived(top: str, code: str, texts: Mapping[str, str]) -> dict[str, ModuleType]:
    """Import recorded modules from a folder of their own; once in a process."""
    if code not in _ARCHIVED:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in texts.items():
                path = Path(folder, *name.split("/"))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            sys.path.insert(0, folder)
            importlib.invalidate_caches()
            try:
                importlib.import_module(top)
                for name in texts:  # what it imports later, inside a function, is recorded too
                    importlib.import_module(".".join(name.removesuffix(".py").removesuffix("/__init__").split("/")))
            finally:
                sys.path.remove(folder)
                importlib.invalidate_caches()
        tops = _tops(texts)
        _ARCHIVED[code] = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in tops}
    return _ARCHIVED[code]


def _refuse_ambiguous(top: str, where: str) -> None:
    if top in LOCKED | PROJECT | _ACTIVE:  # a recorded module stands for all of its name
        return
    lying = [folder for folder in _FOLDERS if any(_sources(folder, top))]
    spec = _spec(top) if lying else None
    if spec is not None and _is_installed(spec):
        raise SettingsError(
            f"{where}: the module {top!r} in {lying[0]} has the name of an installed package; rename the file"
        )
    lying += [_folder(spec)] if spec is not None and _folder(spec) not in lying else []  # such as the folder of now
    texts = {tuple(path.read_bytes() for path in _sources(folder, top)) for folder in lying}
    if len(texts) > 1:
        raise SettingsError(
            f"{where}: there is a module {top!r} in {' and in '.join(map(str, lying))}, and they differ; give the "
            "modules of each model names of their own"
        )


def _spec(top: str) -> Any:
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _is_installed(spec: Any) -> bool:
    origin = spec.origin or next(iter(spec.submodule_search_locations or ()), "")
    return bool(INSTALLED & set(Path(origin).parts))


def _folder(spec: Any) -> Path:
    location = next(iter(spec.submodule_search_locations or ()), None)
    return Path(location).parent if location else Path(spec.origin).parent


def _sources(folder: Path, top: str) -> Sequence[Path]:
    """Return the Python files of a module or package in a folder; none if it is not there."""
    module, package = folder / f"{top}.py", folder / top
    if package.is_dir() and (package / "__init__.py").is_file():
        return sorted(package.rglob("*.py"))
    return [module] if module.is_file() else []


def _imports(text: str) -> set[str]:
    names: set[str] = set()
    try:
        tree = ast.parse(text)
    except SyntaxError:  # whoever imports it says so
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {top_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(top_of(node.module))
    return names


@cache
def _installed_sha256(top: str, origin: str, locations: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in sorted(set(packages_distributions().get(top, ()))):
        digest.update(f"{name}=={version(name)}\0".encode())
    roots = [Path(location) for location in locations] or [Path(origin)]
    for root in roots:
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
