"""Finding installed modules with few system calls.

Without a mount namespace each question about a path goes to the supervisor, and the stock finder
asks four times for one module. Here a directory of the installed environment is listed once; a
name in the list is taken without another look. What is not in it is looked for as ever, which sees
what was installed since; a module that was removed since fails when it is loaded.
`importlib.invalidate_caches` forgets the lists.
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

#: In the order in which the stock finder tries them.
_LOADERS: tuple[tuple[Callable[[str, str], Loader], list[str]], ...] = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
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
                names = frozenset(os.listdir(folder))
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
