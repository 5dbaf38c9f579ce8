"""Finding and loading installed modules without asking the supervisor for each path.

Without a mount namespace each question about a path goes to it, and the stock finder and loader
ask seven times for one module. Here files are read unasked (see shared.unasked), and a directory
of the installed environment is listed once; a name in the list is taken without another look. What
is not in it is looked for as ever, which sees what was installed since; a module that was removed
since fails when it is loaded. `importlib.invalidate_caches` forgets the lists.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Any

from ..shared.unasked import UNASKED

#: The plain calls: those that cells see ask the supervisor when they fail.
_open, _stat = os.open, os.stat
_READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class InstalledLoader(SourceFileLoader):
    """Loads a module of the installed environment from its byte code or source."""

    def path_stats(self, path: str) -> dict[str, Any]:
        """Modification time and size of the source. Raises OSError."""
        status = _stat(path, dir_fd=UNASKED)
        return {"mtime": status.st_mtime, "size": status.st_size}

    def get_data(self, path: str) -> bytes:
        """The content of a file. Raises OSError."""
        descriptor = _open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=UNASKED)
        with open(descriptor, "rb", buffering=0) as file:
            return file.read()


#: In the order in which the stock finder tries them.
_LOADERS: tuple[tuple[Callable[[str, str], Loader], list[str]], ...] = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (InstalledLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)
_SUFFIXES = tuple((suffix, loader) for loader, suffixes in _LOADERS for suffix in suffixes)


class InstalledFinder(FileFinder):
    """Finds modules in one directory, the lists of which all finders share."""

    lists: dict[str, frozenset[str]] = {}  # noqa: RUF012 - shared on purpose

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """As FileFinder's; only a name that is listed is taken at once."""
        name = fullname.rpartition(".")[2]
        listed = self.listed(self.path)
        if name in listed:
            folder = f"{self.path}/{name}"
            inside = self.listed(folder)
            for suffix, loader in _SUFFIXES:
                if f"__init__{suffix}" in inside:
                    return _spec(fullname, f"{folder}/__init__{suffix}", loader, [folder])
        for suffix, loader in _SUFFIXES:
            if name + suffix in listed:
                return _spec(fullname, f"{self.path}/{name}{suffix}", loader, None)
        return super().find_spec(fullname, target)

    def invalidate_caches(self) -> None:
        """See importlib.invalidate_caches."""
        self.lists.clear()
        super().invalidate_caches()

    @classmethod
    def listed(cls, folder: str) -> frozenset[str]:
        """The names in a folder; none where it is no folder."""
        names = cls.lists.get(folder)
        if names is None:
            try:
                descriptor = _open(folder, _READ_FOLDER, dir_fd=UNASKED)
                try:
                    names = frozenset(os.listdir(descriptor))
                finally:
                    os.close(descriptor)
            except OSError:
                names = frozenset()
            cls.lists[folder] = names
        return names


def _spec(
    name: str, path: str, loader: Callable[[str, str], Loader], inside: Sequence[str] | None
) -> ModuleSpec | None:
    where = None if inside is None else list(inside)
    return spec_from_file_location(
        name, path, loader=loader(name, path), submodule_search_locations=where
    )


def find_installed_by_list() -> None:
    """From now on find modules so in what is on `sys.path` now and belongs to this Python."""
    prefixes = tuple(f"{prefix}/" for prefix in {sys.prefix, sys.base_prefix})
    roots = tuple(f"{path}/" for path in sys.path if path.startswith(prefixes))

    def finder(path: str) -> InstalledFinder:
        if not f"{path}/".startswith(roots) or not InstalledFinder.listed(path):
            raise ImportError("no folder of the installed environment", path=path)
        return InstalledFinder(path, *_LOADERS)

    sys.path_hooks.insert(0, finder)
    for path in list(sys.path_importer_cache):
        if f"{path}/".startswith(roots):
            del sys.path_importer_cache[path]
