"""Widgets: which models a worker may open in the page, and what their state may say.

A comm makes the front end build objects from module and class names that the worker sends. With
anywidget and the like the *code* is part of the state. So:

1. `off`: no comm. `core`: comms of target `jupyter.widget` whose models and views are named in
   `CORE_MODELS`. `any`: every target and module. `target_module` never: it names code to load.
   A model is shown by its own view, from its opening to its end: another one would put on the
   page as HTML what this model has as text.
2. State that a core view puts on the page as HTML (`HTML`, `HTMLMath`, descriptions with
   `description_allow_html`) passes the sanitiser; layouts and styles pass the CSS rules;
   pictures and films are data, never addresses; classes are ipywidgets' own.
3. Links between models work in the browser, past this gate: they may join values, and never
   end at a model whose value is HTML (text typed or set in one would become HTML in the other).
4. What an `Output` widget holds is output like any other; it may capture only the cell's own.
5. Buffers go where the model's class has them. A path or a key that names an object's prototype
   would reach every object of the page.
6. Messages of a comm that was not let through are dropped, but for the one answer
   (`update_states`) to a front end that asks for all models after a reload.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import css, latex
from .bounds import clean_json
from .notes import Withheld
from .wordlists import words

_BASE = "@jupyter-widgets/base"
_CONTROLS = "@jupyter-widgets/controls"
_OUTPUT = "@jupyter-widgets/output"

_NAMES = words(
    "Accordion Audio BoundedFloatText BoundedIntText Box Button Checkbox ColorPicker "
    "ColorsInput Combobox ControllerAxis ControllerButton Controller DatePicker "
    "Datetime Dropdown FileUpload FloatLogSlider FloatProgress FloatRangeSlider "
    "FloatSlider FloatText FloatsInput GridBox HBox HTMLMath HTML Image IntProgress "
    "IntRangeSlider IntSlider IntText IntsInput Label NaiveDatetime Password Play "
    "RadioButtons SelectMultiple Select SelectionRangeSlider SelectionSlider Stack "
    "Tab TagsInput Text Textarea Time ToggleButton ToggleButtons VBox Valid Video"
)
_STYLES = words(
    "ButtonStyle CheckboxStyle DescriptionStyle HTMLMathStyle HTMLStyle LabelStyle "
    "ProgressStyle SliderStyle TextStyle ToggleButtonStyle ToggleButtonsStyle"
)

CORE_MODELS: dict[str, frozenset[str]] = {
    _BASE: frozenset({"LayoutModel"}),
    _CONTROLS: frozenset(f"{name}Model" for name in _NAMES | _STYLES)
    | {"LinkModel", "DirectionalLinkModel"},
    _OUTPUT: frozenset({"OutputModel"}),
}
_OTHER_VIEWS = {
    "BoundedFloatTextModel": "FloatTextView",
    "BoundedIntTextModel": "IntTextView",
    "FloatProgressModel": "ProgressView",
    "IntProgressModel": "ProgressView",
    "NaiveDatetimeModel": "DatetimeView",
}
"""The views of models that do not have one of their own name."""
_HTML_VALUE = frozenset({"HTMLModel", "HTMLMathModel"})
_TYPESET_VALUE = frozenset({"LabelModel"})
_MEDIA_FORMATS = {
    "ImageModel": words("png jpg jpeg gif webp bmp svg+xml"),
    "AudioModel": words("mp3 mpeg wav ogg flac aac webm mp4 x-wav"),
    "VideoModel": frozenset(["mp4", "webm", "ogg"]),
}
_BUFFERED = frozenset({"ImageModel", "AudioModel", "VideoModel", "FileUploadModel"})
_LINKABLE = words("value index min max step selected_index disabled lower upper readout playing")
_UNLINKABLE = _HTML_VALUE | _TYPESET_VALUE | set(_MEDIA_FORMATS) | {"OutputModel", "LayoutModel"}
_CLASS = re.compile(r"(?:widget-[a-z-]{1,40}|tqdm[\w-]{0,40})\Z")
_COMM_ID = re.compile(r"[0-9A-Za-z_-]{1,128}\Z")
_VERSION = re.compile(r"[\^~]?[0-9A-Za-z.*-]{1,40}\Z")
_ICON = re.compile(r"[a-z0-9 -]{0,80}\Z")
_REFERENCE = "IPY_MODEL_"
_KEY = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]{0,80}\Z")


@dataclass
class Model:
    """What is remembered of a comm that was let through."""

    target: str
    name: str = ""
    module: str = ""
    html_description: bool = False


class Refused(Exception):
    """A comm message that is not sent on; `withheld` says what and why."""

    def __init__(self, withheld: Withheld) -> None:
        super().__init__(withheld.what)
        self.withheld = withheld


def is_comm_id(value: object) -> bool:
    """Whether `value` can be the id of a comm."""
    return isinstance(value, str) and _COMM_ID.match(value) is not None


class StateRules:
    """Makes the state of core models inert.

    `clean_html` and `clean_outputs` are the gate's own treatment of HTML and of a list of
    outputs; `own_parent` is the id of the request whose output a widget may capture.
    """

    def __init__(
        self,
        models: dict[str, Model],
        clean_html: Callable[[str], str],
        clean_outputs: Callable[[list[Any]], list[Any]],
    ) -> None:
        self._models = models
        self._clean_html = clean_html
        self._clean_outputs = clean_outputs
        self.own_parent = ""

    def check_class(self, state: dict[str, Any]) -> tuple[str, str]:
        """The model's module and name, which are on the allowlist, as is its view; or Refused."""
        module, name = state.get("_model_module"), state.get("_model_name")
        if not isinstance(module, str) or name not in CORE_MODELS.get(module, ()):
            raise Refused(
                Withheld(f"a widget of {module!s}", "it brings code of its own", "widgets", "any")
            )
        self._check_view(module, str(name), state)
        return module, str(name)

    def _check_view(self, model_module: str, model: str, state: dict[str, Any]) -> None:
        view_module, view = _view_of(model_module, model)
        module, name = state.get("_view_module"), state.get("_view_name")
        if name not in (None, view) or (name is not None and module not in (None, view_module)):
            raise Refused(
                Withheld(
                    f"a widget view of {module!s}", f"not the one of {model}", "widgets", "any"
                )
            )
        for key in ("_model_module_version", "_view_module_version"):
            version = state.get(key)
            if version is not None and not (isinstance(version, str) and _VERSION.match(version)):
                raise Refused(Withheld("a widget", "its version is not readable"))

    def clean(self, state: dict[str, Any], model: Model, *, opening: bool) -> dict[str, Any]:
        """A copy of `state` that is inert on the page; raises Refused."""
        if any(key.startswith(("_model", "_view_m", "_view_n")) for key in state):
            own = {"_model_module": model.module, "_model_name": model.name}
            if self.check_class({**own, **state}) != (model.module, model.name):
                raise Refused(Withheld("a widget's new class", "classes do not change"))
        if opening:
            # Decided once: a later switch would turn a description that was sent as text into HTML.
            model.html_description = state.get("description_allow_html") is True
        return {
            key: self._value(key, value, model) for key, value in state.items() if _KEY.match(key)
        }

    def _value(self, key: str, value: Any, model: Model) -> Any:
        name = model.name
        if key == "_dom_classes":
            return [each for each in _strings(value) if _CLASS.match(each)]
        if key == "value" and name in _HTML_VALUE:
            return self._clean_html(value) if isinstance(value, str) else ""
        if key == "description" and isinstance(value, str):
            return self._clean_html(value) if model.html_description else latex.disarm(value)
        if key == "description_allow_html":
            return model.html_description
        if name == "LayoutModel" and not key.startswith("_"):
            return _layout(key, value)
        if name.endswith("StyleModel") and isinstance(value, str) and not key.startswith("_"):
            return value if css.value_is_inert(value) else None
        if key == "format" and name in _MEDIA_FORMATS:
            if value not in _MEDIA_FORMATS[name]:
                raise Refused(
                    Withheld(f"a widget that loads an address ({name})", "nothing is fetched")
                )
            return value
        if key == "autoplay":
            return False
        if key == "icon":
            return _icon(value)
        if key == "icons":
            return [_icon(each) for each in value] if isinstance(value, list | tuple) else []
        if key in ("source", "target") and name in ("LinkModel", "DirectionalLinkModel"):
            return self._link_end(value)
        if name == "OutputModel":
            if key == "outputs":
                return self._clean_outputs(list(value) if isinstance(value, list | tuple) else [])
            if key == "msg_id":
                return value if value in ("", self.own_parent) else ""
        value = _own_keys(clean_json(value))
        return value if key == "value" and name not in _TYPESET_VALUE else _disarmed(value)

    def _link_end(self, value: Any) -> list[str]:
        refused = Refused(Withheld("a link between widgets", "it would end in HTML"))
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise refused
        reference, attribute = value
        if not isinstance(reference, str) or attribute not in _LINKABLE:
            raise refused
        model = self._models.get(reference.removeprefix(_REFERENCE))
        if model is None or model.name in _UNLINKABLE or model.name.endswith("StyleModel"):
            raise refused
        return [reference, attribute]


def _view_of(module: str, model: str) -> tuple[str, str]:
    """Module and name of the view in which ipywidgets shows a core model."""
    if model.endswith("StyleModel"):
        return _BASE, "StyleView"
    return module, _OTHER_VIEWS.get(model) or model.removesuffix("Model") + "View"


def _own_keys(value: Any) -> Any:
    """JSON without keys that name an object's prototype."""
    if isinstance(value, list):
        return [_own_keys(each) for each in value]
    if isinstance(value, dict):
        return {key: _own_keys(each) for key, each in value.items() if key != "__proto__"}
    return value


def _icon(value: Any) -> str:
    """Names of icons become class names: `fa-` goes before the first, the others must have it."""
    if not isinstance(value, str) or not _ICON.match(value):
        return ""
    first, *others = value.split() or [""]
    return " ".join([first, *(name for name in others if name.startswith("fa-"))])


def _layout(key: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    name = key.replace("_", "-")
    done = css.declaration(name, value)
    return done.partition(": ")[2] if done else None


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list | tuple):
        return []
    return [each for each in value if isinstance(each, str)]


def _disarmed(value: Any) -> Any:
    if isinstance(value, str):
        return latex.disarm(value)
    if isinstance(value, list):
        return [_disarmed(each) for each in value]
    if isinstance(value, dict):
        return {key: _disarmed(each) for key, each in value.items()}
    return value


def check_buffers(
    paths: Any, buffers: list[bytes], owners: Callable[[list[Any]], str], *, of_many: bool = False
) -> None:
    """Raise Refused unless there is one path for each buffer and its model takes buffers there.

    `owners` tells the model name that a path belongs to; empty for one that takes any. `of_many`:
    the paths begin with the comm and `state`, as in `update_states`.
    """
    bad = Refused(Withheld("a widget message", "its buffers do not match"))
    if paths is None:
        paths = []
    if not isinstance(paths, list | tuple) or len(paths) != len(buffers):
        raise bad
    for path in paths:
        if not isinstance(path, list | tuple) or not 0 < len(path) <= 16:
            raise bad
        if not all(isinstance(step, str | int) for step in path):
            raise bad
        name = owners(list(path))
        if of_many and path[1:2] != ["state"]:
            raise bad
        within = list(path[2:] if of_many else path)
        if name and (name not in _BUFFERED or not _takes_buffer(within)):
            raise bad
        if any(step in ("__proto__", "constructor", "prototype") for step in path):
            raise bad


def _takes_buffer(path: list[Any]) -> bool:
    """Whether a path is `value`, or the content of one of the files that were uploaded."""
    if path == ["value"]:
        return True
    return len(path) == 3 and path[::2] == ["value", "content"] and type(path[1]) is int
