"""On which line of a TOML document does each key and each array element stand?

`tomllib` parses but tells no positions, and a policy's message without a line is of little use.
This scanner runs *after* `tomllib` has accepted the text, so it may take the grammar for granted
(https://toml.io/en/v1.0.0) and only has to follow it: bare, quoted and dotted keys, headers,
arrays of tables, multi-line strings and arrays, inline tables.  Its answer is a map from the
path of a value, such as `("given", "files", 0, "mode")`, to its line, counted from 1.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_BLANK = re.compile(r"[ \t]*")


def locate(text: str) -> dict[Path, int]:
    """Map the path of every table, key and array element in `text` to its line.

    `text` must be a document that `tomllib.loads` accepts; others give a meaningless map or a
    ValueError.
    """
    return _Scanner(text.replace("\r\n", "\n")).run()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lines: dict[Path, int] = {}
        self._elements: dict[Path, int] = {}

    def run(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self._skip_space_and_comments()
            if self._at >= len(self._text):
                return self._lines
            if self._text.startswith("[[", self._at):
                table = self._header(2)
            elif self._text[self._at] == "[":
                table = self._header(1)
            else:
                self._pair(table)

    def _header(self, brackets: int) -> Path:
        line = self._line
        self._at += brackets
        names = self._key()
        self._at += brackets
        path: Path = ()
        for depth, name in enumerate(names):
            path = (*path, name)
            last = depth == len(names) - 1
            if brackets == 2 and last:
                index = self._elements.get(path, -1) + 1
                self._elements[path] = index
                self._lines.setdefault(path, line)
                path = (*path, index)
                self._lines[path] = line
            elif path in self._elements:
                # A header below an array of tables means the array's latest element.
                path = (*path, self._elements[path])
            self._lines.setdefault(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line
        path = table
        for name in self._key():
            path = (*path, name)
            self._lines.setdefault(path, line)
        self._expect("=")
        self._value(path)

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip_blanks()
            if self._text[self._at] in "\"'":
                start = self._at
                self._string()
                quoted = self._text[start : self._at]
                names.append(str(tomllib.loads(f"k = {quoted}")["k"]))
            else:
                match = _BARE.match(self._text, self._at)
                if match is None:
                    raise ValueError(f"line {self._line}: a key was expected")
                names.append(match[0])
                self._at = match.end()
            self._skip_blanks()
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _value(self, path: Path) -> None:
        self._skip_blanks()
        character = self._text[self._at]
        if character == "[":
            self._array(path)
        elif character == "{":
            self._inline_table(path)
        elif character in "\"'":
            self._string()
        else:
            match = _SCALAR.match(self._text, self._at)
            if match is None:
                raise ValueError(f"line {self._line}: a value was expected")
            self._at = match.end()

    def _array(self, path: Path) -> None:
        self._at += 1
        index = 0
        while True:
            self._skip_space_and_comments()
            if self._text[self._at] == "]":
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._lines[(*path, index)] = self._line
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while True:
            # Line ends inside an inline table are TOML 1.1; harmless to follow.
            self._skip_space_and_comments()
            if self._text[self._at] == "}":
                self._at += 1
                return
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._pair(path)

    def _string(self) -> None:
        quote = self._text[self._at]
        if self._text.startswith(quote * 3, self._at):
            self._long_string(quote)
            return
        self._at += 1
        while self._text[self._at] != quote:
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += 1

    def _long_string(self, quote: str) -> None:
        self._at += 3
        while not self._text.startswith(quote * 3, self._at):
            step = 2 if quote == '"' and self._text[self._at] == "\\" else 1
            self._line += self._text.count("\n", self._at, self._at + step)
            self._at += step
        self._at += 3
        # Up to two quotes may stand directly before the closing three.
        while self._text.startswith(quote, self._at):
            self._at += 1

    def _expect(self, mark: str) -> None:
        self._skip_blanks()
        if not self._text.startswith(mark, self._at):
            raise ValueError(f"line {self._line}: {mark!r} was expected")
        self._at += len(mark)

    def _skip_blanks(self) -> None:
        match = _BLANK.match(self._text, self._at)
        if match is not None:
            self._at = match.end()

    def _skip_space_and_comments(self) -> None:
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "\n":
                self._line += 1
                self._at += 1
            elif character in " \t":
                self._at += 1
            elif character == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                return
