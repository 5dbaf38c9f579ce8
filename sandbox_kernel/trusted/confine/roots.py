"""Which host files a Python environment needs for reading, wherever it lives.

Read-only trees: the standard library, site-packages (venv, conda, user site), shared libraries,
fonts, CA certificates, time zones. A directory that only stands on the module path (an editable
install, PYTHONPATH) gives its modules and packages, not what lies beside them: a project's data,
keys and notebooks are not modules.

Never a root: `/`, /tmp, HOME, or an ancestor of HOME. Such an entry is left out with a warning.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Libraries and data that unmodified packages read, where present.
SYSTEM_TREES = (
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "/usr/share/fontconfig",
    "/usr/share/zoneinfo",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/locale",
    "/usr/share/i18n",
    "/usr/share/icu",
    "/usr/share/mime",
    "/usr/share/misc",
    "/usr/share/proj",
    "/usr/share/gdal",
    "/etc/fonts",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted",
    "/var/cache/fontconfig",
)
SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/cert.pem",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/protocols",
    "/etc/services",
    "/etc/magic",
)
#: Read when programs may be run (`processes`).
PROGRAM_TREES = ("/usr/bin", "/usr/local/bin", "/bin")
#: Package managers whose files refer to each other by absolute path.
STORES = ("/nix/store", "/gnu/store")
#: Of a Python prefix. Not `etc`: a Jupyter server's settings live there.
PREFIX_TREES = ("lib", "lib64", "share", "ssl", "etc/fonts")
_MOST_LINKS = 40
SYSTEM_PREFIXES = ("/", "/usr", "/usr/local")


@dataclass(frozen=True)
class Interpreter:
    """What was asked of a Python: `sys` and the finders of its editable installs."""

    executable: str
    prefixes: tuple[str, ...]
    path: tuple[str, ...]
    editable: tuple[str, ...] = ()

    @classmethod
    def running(cls) -> Interpreter:
        """This very interpreter, whose `site` has already read the .pth files."""
        prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
        return cls(sys.executable, tuple(dict.fromkeys(prefixes)), tuple(sys.path), _mapped())


@dataclass(frozen=True)
class Roots:
    """Real paths to read, symbolic links that lead to them, and what was left out, with reasons.

    `listed` are directories whose own names may be listed (the module path's entries of which only
    the modules are readable).
    """

    trees: tuple[str, ...]
    files: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    listed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def find_roots(
    interpreter: Interpreter,
    *,
    home: str,
    library_path: str = "",
    extra: Iterable[str] = (),
    programs: bool = False,
) -> Roots:
    """All that `interpreter` needs. `library_path` is LD_LIBRARY_PATH, `extra` a policy's trees."""
    collector = _Collector(home)
    for tree in SYSTEM_TREES:
        collector.tree(tree)
    for file in SYSTEM_FILES:
        collector.file(file)
    for tree in _linker_directories():
        collector.tree(tree)
    for entry in library_path.split(":"):
        collector.tree(entry)
    if programs:
        for tree in PROGRAM_TREES:
            collector.tree(tree)
    for prefix in interpreter.prefixes:
        _prefix(collector, prefix, programs)
    collector.file(interpreter.executable)
    for store in STORES:
        if any(tree.startswith(store + "/") for tree in collector.trees):
            collector.tree(store)
    for entry in (*interpreter.path, *interpreter.editable):
        _module_path_entry(collector, entry)
    for tree in extra:
        collector.tree(tree)
    return collector.result()


def never_a_root(path: str, home: str) -> bool:
    """Whether making `path` readable would show a person's files or the whole machine."""
    if path in ("/", "/tmp", "/var/tmp", "/dev/shm", "/home", "/root", "/etc", "/proc", "/sys"):
        return True
    return (home + "/").startswith(path.rstrip("/") + "/")


def _prefix(collector: _Collector, prefix: str, programs: bool) -> None:
    if prefix not in SYSTEM_PREFIXES:
        for name in (*PREFIX_TREES, *(("bin",) if programs else ())):
            collector.tree(f"{prefix}/{name}")
    collector.file(f"{prefix}/pyvenv.cfg")


def _module_path_entry(collector: _Collector, entry: str) -> None:
    entry = os.path.abspath(entry) if entry else ""
    if not entry or collector.covered(os.path.realpath(entry)):
        return
    if os.path.isfile(entry):
        collector.file(entry)
    elif os.path.basename(entry) in ("site-packages", "dist-packages", "lib-dynload"):
        collector.tree(entry)
    elif os.path.isdir(entry):
        if never_a_root(os.path.realpath(entry), collector.home):
            collector.refuse(entry, "on the module path")
            return
        collector.listed.append(entry)
        for module in _modules(entry):
            (collector.tree if os.path.isdir(module) else collector.file)(module)


def _modules(directory: str) -> Iterator[str]:
    """What can be imported from `directory`: module files, packages, and packages' metadata."""
    try:
        with os.scandir(directory) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except PermissionError:
        return
    for entry in found:
        stem, _, suffix = entry.name.partition(".")
        if entry.is_file():
            wanted = stem.isidentifier() and suffix.endswith(("py", "so", "pth"))
        elif entry.name.endswith((".dist-info", ".egg-info")):
            wanted = True
        else:
            wanted = entry.is_dir() and entry.name.isidentifier() and _is_package(entry.path)
        if wanted:
            yield entry.path


def _is_package(directory: str) -> bool:
    """A package, or a namespace package of packages. A mere folder of scripts is neither."""
    try:
        with os.scandir(directory) as entries:
            found = list(entries)
    except PermissionError:
        return False
    if any(entry.name.startswith("__init__.") for entry in found):
        return True
    return any(
        entry.is_dir() and os.path.exists(f"{entry.path}/__init__.py")
        for entry in found
        if entry.name.isidentifier()
    )


def _mapped() -> tuple[str, ...]:
    """Paths in the MAPPING of setuptools' editable finders, which `site` has imported."""
    found: list[str] = []
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable___"):
            mapping = getattr(module, "MAPPING", {})
            spaces = getattr(module, "NAMESPACES", {})
            if isinstance(mapping, Mapping):
                found += [str(path) for path in mapping.values()]
            if isinstance(spaces, Mapping):
                found += [str(path) for paths in spaces.values() for path in paths]
    return tuple(found)


def _linker_directories() -> Iterator[str]:
    """Directories of /etc/ld.so.conf and what it includes (ld.so(8), ldconfig(8))."""
    for file in (Path("/etc/ld.so.conf"), *sorted(Path("/etc/ld.so.conf.d").glob("*.conf"))):
        try:
            text = file.read_text(encoding="utf-8", errors="surrogateescape")
        except (FileNotFoundError, PermissionError):
            continue
        yield from re.findall(r"^\s*(/[^\s#]+)", text, re.MULTILINE)


class _Collector:
    def __init__(self, home: str) -> None:
        self.home = os.path.realpath(home)
        self.trees: dict[str, None] = {}
        self.files: dict[str, None] = {}
        self.links: dict[str, str] = {}
        self.listed: list[str] = []
        self.warnings: list[str] = []

    def covered(self, real: str) -> bool:
        return any(real == tree or real.startswith(tree + "/") for tree in self.trees)

    def refuse(self, path: str, what: str) -> None:
        self.warnings.append(
            f"{path} ({what}) is left out: it holds a person's files or the whole machine."
            " Install into an environment of its own, or name a folder below it."
        )

    def tree(self, path: str) -> None:
        if path.startswith("/") and os.path.isdir(path):
            real, links = resolve(path)
            if never_a_root(real, self.home):
                self.refuse(path, "a readable root")
                return
            self.links.update(links)
            self.trees[real] = None

    def file(self, path: str) -> None:
        if path.startswith("/") and os.path.isfile(path):
            real, links = resolve(path)
            self.links.update(links)
            self.files[real] = None

    def result(self) -> Roots:
        trees = [t for t in self.trees if not _below_another(t, self.trees)]
        files = [f for f in self.files if not any(f.startswith(t + "/") for t in trees)]
        links = [
            (link, target)
            for link, target in self.links.items()
            if not any(link.startswith(t + "/") for t in trees)
        ]
        listed = [d for d in dict.fromkeys(self.listed) if not self.covered(os.path.realpath(d))]
        return Roots(tuple(trees), tuple(files), tuple(links), tuple(listed), tuple(self.warnings))


def _below_another(path: str, trees: Iterable[str]) -> bool:
    return any(path.startswith(tree + "/") for tree in trees)


def resolve(path: str) -> tuple[str, dict[str, str]]:
    """The real path, and every symbolic link on the way with its target as written.

    Raises OSError (ELOOP) for a loop.
    """
    links: dict[str, str] = {}
    rest = [part for part in path.split("/") if part]
    done, followed = "", 0
    while rest:
        part = rest.pop(0)
        if part == ".":
            continue
        if part == "..":
            done = os.path.dirname(done).rstrip("/")
            continue
        step = f"{done}/{part}"
        if not os.path.islink(step):
            done = step
            continue
        followed += 1
        if followed > _MOST_LINKS:
            raise OSError(errno.ELOOP, f"too many symbolic links: {path}")
        target = os.readlink(step)
        links[step] = target
        rest = [p for p in target.split("/") if p] + rest
        if target.startswith("/"):
            done = ""
    return done or "/", links
