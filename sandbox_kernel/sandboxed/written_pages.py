"""Pages that every cell writes to, copied ahead of the next one while nobody waits.

After a fork the first write to a page costs a fault and a copy. Python writes wherever it counts a
reference, so even `1+1` writes to a thousand pages of the kernel's own memory, much the same ones
each time: two milliseconds. Done before the next request comes, that costs its cell nothing.

| the copy's number | before its fork               | after its fork                        |
|-------------------|-------------------------------|---------------------------------------|
| 2, 4, 8, ...      | look which pages were written | make the known pages writable         |
| 1, 3, 7, ...      |                               | leave them, so that the next one sees |
| others            |                               | make the known pages writable         |

What was written since the last fork is what this process alone has mapped (bit 56 of
/proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst), as long as the last copy is alive.
Where that cannot be read, or the kernel cannot populate, cells pay for their pages themselves.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterator

from ._sys_memory import populate

_PAGE = mmap.PAGESIZE
_PRESENT_AND_ALONE = 1 << 63 | 1 << 56
#: Mappings that are bigger hold data of cells, and the kernel has none of that size.
_BIGGEST = 32 << 20
#: Pages that are looked at, and that are copied ahead: of more it is not known that all cells
#: write to them.
_MOST_SEEN, _MOST_COPIED = 1 << 15, 2048
#: Pages that are copied before it is looked whether a request has come.
_AT_ONCE = 64


class WrittenPages:
    """What this process knows about its own pages."""

    def __init__(self) -> None:
        self._forks = 0
        #: Address and number of pages of each known run.
        self._runs: list[tuple[int, int]] = []

    def before_fork(self, copy_lives: bool) -> None:
        """Look which pages were written since the last fork, if it is time for that."""
        self._forks += 1
        if copy_lives and _is_power_of_two(self._forks) and self._forks > 1:
            try:
                runs = list(_runs(_written(_own_mappings())))
            except (OSError, ValueError):
                return
            if sum(pages for _, pages in runs) <= _MOST_COPIED:
                self._runs = runs  # Else it was a collection of garbage, or a cell with much to do.

    def copy_ahead(self) -> Iterator[None]:
        """Make the known pages writable, some at each step."""
        if _is_power_of_two(self._forks + 1):
            return
        done = 0
        for address, pages in self._runs:
            if not populate(address, pages * _PAGE):
                continue  # Unmapped meanwhile.
            done += pages
            if done >= _AT_ONCE:
                done = 0
                yield


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def _own_mappings() -> Iterator[tuple[int, int]]:
    """Begin and end of what this process has mapped for itself to write to (proc_pid_maps(5))."""
    seen = 0
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            where, rights, _ = line.split(" ", 2)
            if rights[1] != "w" or rights[3] != "p":
                continue
            begin, end = (int(number, 16) for number in where.split("-"))
            seen += (end - begin) // _PAGE
            if end - begin <= _BIGGEST and seen <= _MOST_SEEN:
                yield begin, end


def _written(mappings: Iterator[tuple[int, int]]) -> Iterator[int]:
    """Addresses of the pages that only this process has."""
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        for begin, end in mappings:
            file.seek(begin // _PAGE * 8)
            entries = array("Q", file.read((end - begin) // _PAGE * 8))
            for index, entry in enumerate(entries):
                if entry & _PRESENT_AND_ALONE == _PRESENT_AND_ALONE:
                    yield begin + index * _PAGE


def _runs(addresses: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring pages together: address of the first, and how many."""
    begin = end = 0
    for address in addresses:
        if address != end:
            if end > begin:
                yield begin, (end - begin) // _PAGE
            begin = address
        end = address + _PAGE
    if end > begin:
        yield begin, (end - begin) // _PAGE
