"""The end of a cell for one staged place: list, review, commit. The same behind both doors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .mount_items import Stage
from .resolve import Place, Unresolvable, open_place
from .staged_commit import commit
from .staged_review import Act, Change, Deny, Refusal, Spent, StageRule, review
from .staged_tree import listings

#: Bytes that the staged changes of a cell may come to where no meter says.
STAGING_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Committed:
    """What the end of a cell wrote to the host. Paths are absolute."""

    changes: tuple[Change, ...] = ()
    refused: tuple[Refusal, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes that reached the host."""
        return sum(change.size for change in self.changes)

    @property
    def files(self) -> int:
        """New files on the host."""
        return sum(change.act is Act.CREATE for change in self.changes)


def together(outcomes: Iterable[Committed]) -> Committed:
    """Several outcomes as one."""
    listed = tuple(outcomes)
    return Committed(
        tuple(change for one in listed for change in one.changes),
        tuple(refusal for one in listed for refusal in one.refused),
    )


def commit_stage(
    stage: Stage,
    upper: int,
    spent: dict[StageRule, Spent],
    deny: Deny,
    staging_bytes: int = STAGING_BYTES,
) -> Committed:
    """Review what stands on the upper side (a directory descriptor) and commit what may pass.

    spent: the meters, brought up to date. deny: called with absolute real paths. staging_bytes:
    room for changes that no meter bounds.
    """
    if not _anything(upper):
        return Committed()
    place = Place(stage.destination, stage.destination, "directory", stage.device, stage.inode)
    try:
        path_only = open_place(place)
    except Unresolvable as problem:
        return Committed((), (Refusal(stage.destination, problem.code, problem.reason),))
    try:
        lower = os.open(f"/proc/self/fd/{path_only}", os.O_RDONLY | os.O_DIRECTORY)
    finally:
        os.close(path_only)
    try:
        below, above = listings(upper, lower)
        outcome = review(
            below,
            above,
            stage.rules,
            deny=lambda path: deny(f"{stage.destination}/{path}"),
            spent=spent,
            room=staging_bytes + sum(rule.max_bytes or 0 for rule in stage.rules),
        )
        written = commit(outcome.changes, upper, lower)
    except Unresolvable as problem:
        return Committed((), (Refusal(problem.path, problem.code, problem.reason),))
    finally:
        os.close(lower)
    spent.update(outcome.spent)
    top = stage.destination.rstrip("/")
    return Committed(
        tuple(replace(c, path=f"{top}/{c.path}") for c in written.committed),
        tuple(replace(r, path=f"{top}/{r.path}") for r in (*outcome.refused, *written.refused)),
    )


def _anything(directory: int) -> bool:
    # A fresh descriptor: reading a directory moves the offset of the one that is read.
    again = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        with os.scandir(again) as entries:
            return next(entries, None) is not None
    finally:
        os.close(again)
