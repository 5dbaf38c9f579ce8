"""Libraries that format a cell's template in trusted code: ``"{x.y[z]}"`` walks there past every
guard, so they get templates only that a cell could format itself.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..attributes import plain_text
from ..formats import template_refusal
from ..refusal import RefusedValue

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["INJECTIONS"]

_Templates = Callable[..., Iterable[Any]]


def _check(templates: Iterable[Any]) -> None:
    """Raise `RefusedValue` for a template that reads what a cell may not."""
    for template in templates:
        if issubclass(type(template), str):
            reached = template_refusal(plain_text(template))
            if reached is not None:
                raise RefusedValue(f"a format template that reads {reached} is refused")


def _checked(function: Callable[..., Any], templates: _Templates) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        _check(templates(*arguments, **named))
        return function(*arguments, **named)

    return wrapper


def _wrap(session: Session, owner: Any, name: str, templates: _Templates) -> None:
    """Have ``owner.name`` check the templates that ``templates`` finds in its arguments."""
    if isinstance(owner, types.ModuleType):
        owner.__dict__[name] = _checked(owner.__dict__[name], templates)
        return
    found = vars(owner).get(name) or getattr(owner, name)
    static = isinstance(found, staticmethod)
    wrapped = _checked(found.__func__ if static else found, templates)
    with session.world.thawed(owner):
        setattr(owner, name, staticmethod(wrapped) if static else wrapped)


def _logging(session: Session, module: Any) -> None:
    """``logging.Formatter(style="{")``, and the style itself."""

    def of_style(self: Any, fmt: Any = None, **_: Any) -> Iterable[Any]:
        return [fmt]

    _wrap(session, module.StrFormatStyle, "__init__", of_style)


def _ticker(session: Session, module: Any) -> None:
    """``StrMethodFormatter("{x}")``, also by ``axis.set_major_formatter("{x}")``."""
    _wrap(session, module.StrMethodFormatter, "__call__", lambda self, *_, **__: [self.fmt])


def _tqdm(session: Session, module: Any) -> None:
    """``bar_format`` of a progress bar."""

    def of_meter(*arguments: Any, bar_format: Any = None, **_: Any) -> Iterable[Any]:
        return [bar_format, *arguments[9:10]]

    _wrap(session, module.tqdm, "format_meter", of_meter)


def _styler(session: Session, module: Any) -> None:
    """``DataFrame.style.format("{…}")``."""
    _wrap(session, module, "_maybe_wrap_formatter", lambda formatter=None, *_, **__: [formatter])


def _rich(session: Session, module: Any) -> None:
    """Columns of a progress display."""

    def of_column(self: Any, *_: Any) -> Iterable[Any]:
        return [self.text_format, getattr(self, "text_format_no_percentage", "")]

    for column in (module.TextColumn, module.TaskProgressColumn):
        _wrap(session, column, "render", of_column)
    _wrap(session, module.Progress, "make_tasks_table", lambda self, *_: self.columns)


INJECTIONS: dict[str, Callable[[Session, types.ModuleType], None]] = {
    "logging": _logging,
    "matplotlib.ticker": _ticker,
    "tqdm.std": _tqdm,
    "pandas.io.formats.style_render": _styler,
    "rich.progress": _rich,
}
