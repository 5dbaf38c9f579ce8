"""Comms and widget state: what a worker may open in the page, and what it may say there."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox_kernel.trusted.output_gate import DisplayRules, OutputCaps, OutputGate, SessionCaps

BAD = "<img src=x onerror=alert(1)>"
CONTROLS = "@jupyter-widgets/controls"


class Widgets:
    """A gate, and short ways to talk to it as ipywidgets does."""

    def __init__(self, **rules: Any) -> None:
        self.gate = OutputGate(DisplayRules(**rules), SessionCaps(comms=50))
        self.gate.begin_cell("cell", OutputCaps())
        self._number = 0

    def open(
        self,
        name: str,
        module: str = CONTROLS,
        comm_target: str = "jupyter.widget",
        buffers: list[bytes] | None = None,
        paths: Any = (),
        **state: Any,
    ) -> tuple[str, dict[str, Any] | None]:
        """Comm id, and the state that went on (None: nothing did)."""
        self._number += 1
        comm = f"{self._number:032x}"
        full = {"_model_module": module, "_model_name": name, **state}
        data = {"state": full, "buffer_paths": list(paths)}
        content = {
            "comm_id": comm,
            "target_name": comm_target,
            "data": data,
            "target_module": "evil",
        }
        sent = self.gate.iopub("comm_open", content, {"version": "2.1.0"}, buffers or [])
        if not sent:
            return comm, None
        assert "target_module" not in sent[0].content
        return comm, sent[0].content["data"]["state"]

    def update(self, comm: str, **state: Any) -> dict[str, Any] | None:
        """The state of an update that went on."""
        data = {"method": "update", "state": state, "buffer_paths": []}
        sent = self.gate.iopub("comm_msg", {"comm_id": comm, "data": data}, {}, [])
        if not sent or sent[0].msg_type != "comm_msg":
            return None
        return dict(sent[0].content["data"]["state"])


@pytest.mark.parametrize(
    ("module", "name", "target"),
    [
        ("anywidget", "AnyModel", "jupyter.widget"),
        ("http://127.0.0.1/x.js", "EvilModel", "jupyter.widget"),
        (CONTROLS, "EvilModel", "jupyter.widget"),
        (CONTROLS, "IntSliderModel", "matplotlib"),
        (CONTROLS, "IntSliderModel", "jupyter.widget.control"),
        ("jupyter-matplotlib", "MPLCanvasModel", "jupyter.widget"),
    ],
)
def test_code_carrying_modules_need_the_rule_any(module: str, name: str, target: str) -> None:
    core, loose = Widgets(), Widgets(widgets="any")
    comm, state = core.open(name, module, target, _esm="export default {}")
    assert state is None
    assert core.update(comm, a=1) is None
    assert loose.open(name, module, target)[1] is not None
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": comm}, "text/plain": "x"}
    [out] = core.gate.iopub("display_data", {"data": view, "metadata": {}}, {}, [])
    assert "widgets = &quot;any&quot;" in out.content["data"]["text/html"]


def test_no_comm_passes_when_widgets_are_off() -> None:
    off = Widgets(widgets="off")
    assert off.open("IntSliderModel")[1] is None
    assert off.gate.reply("comm_info_reply", {})["comms"] == {}


@pytest.mark.parametrize(
    ("model", "view", "opens"),
    [
        ("TextModel", "TextView", True),
        ("IntProgressModel", "ProgressView", True),
        ("BoundedIntTextModel", "IntTextView", True),
        ("HTMLModel", "HTMLView", True),
        ("TextModel", "HTMLView", False),
        ("TextModel", "HTMLMathView", False),
        ("LabelModel", "HTMLView", False),
        ("SliderStyleModel", "HTMLView", False),
        ("IntSliderModel", "OutputView", False),
    ],
)
def test_a_model_is_shown_by_its_own_view(model: str, view: str, opens: bool) -> None:
    _, state = Widgets().open(model, _view_name=view, value=BAD)
    assert (state is not None) is opens


def test_every_class_of_ipywidgets_opens_with_its_view() -> None:
    import ipywidgets

    opened = 0
    for each in vars(ipywidgets).values():
        traits = each.class_traits() if isinstance(each, type(ipywidgets.Widget)) else {}
        if "_view_name" not in traits or traits["_model_name"].default_value.startswith("DOM"):
            continue
        keys = ("_model_module", "_model_name", "_view_module", "_view_name")
        module, name, *view = [traits[key].default_value for key in keys]
        if view[1] is None or name == "StyleModel":
            continue
        _, state = Widgets().open(name, module, _view_module=view[0], _view_name=view[1])
        assert state is not None, name
        opened += 1
    assert opened > 50


@pytest.mark.parametrize(
    "change",
    [
        {"_view_name": "HTMLView"},
        {"_view_module": "anywidget", "_view_name": "TextView"},
        {"_model_name": "HTMLModel"},
        {"_model_name": "TextModel", "_view_name": "HTMLView"},
        {"_model_module": CONTROLS, "_model_name": "HTMLModel", "_view_name": "HTMLView"},
        {"_model_module": "anywidget", "_model_name": "AnyModel"},
    ],
)
def test_class_and_view_of_a_model_do_not_change(change: dict[str, Any]) -> None:
    widgets = Widgets()
    comm, _ = widgets.open("TextModel", _view_name="TextView", value="text")
    assert widgets.update(comm, **change, value=BAD) is None
    # A page that is loaded anew asks for all states: those are of the class that was opened.
    state = {"_model_module": CONTROLS, "_model_name": "TextModel", **change, "value": BAD}
    data = {"method": "update_states", "states": {comm: {"state": state}}, "buffer_paths": []}
    [sent] = widgets.gate.iopub("comm_msg", {"comm_id": "asked", "data": data}, {}, [])
    assert sent.msg_type == "display_data"
    assert widgets.update(comm, _model_name="TextModel", value="more") is not None


@pytest.mark.parametrize("key", ["__proto__", "__class__", "a-b", "", "1x"])
def test_keys_that_name_no_trait_are_left_out(key: str) -> None:
    _, state = Widgets().open("HTMLModel", **{key: {"value": BAD}})
    assert state is not None
    assert key not in state
    _, state = Widgets().open("TextModel", value={"__proto__": {"trusted": True}, "a": 1})
    assert state is not None
    assert state["value"] == {"a": 1}


@pytest.mark.parametrize("name", ["HTMLModel", "HTMLMathModel"])
def test_html_values_are_cleaned_at_opening_and_at_each_update(name: str) -> None:
    widgets = Widgets()
    comm, state = widgets.open(name, value=BAD + "<b>x</b>")
    assert state is not None
    assert "onerror" not in state["value"]
    assert "<b>x</b>" in state["value"]
    updated = widgets.update(comm, value=BAD)
    assert updated is not None
    assert "onerror" not in updated["value"]


def test_a_description_does_not_become_html_later() -> None:
    widgets = Widgets()
    comm, state = widgets.open("IntSliderModel", description=BAD)
    assert state is not None
    assert state["description"] == BAD
    assert widgets.update(comm, description_allow_html=True) == {"description_allow_html": False}
    _, state = widgets.open("IntSliderModel", description=BAD, description_allow_html=True)
    assert state is not None
    assert "onerror" not in state["description"]


@pytest.mark.parametrize(
    ("name", "key", "value", "left"),
    [
        ("LayoutModel", "width", "50%", "50%"),
        ("LayoutModel", "margin", "-900px", None),
        ("LayoutModel", "position", "fixed", None),
        ("LayoutModel", "border_left", "1px solid red", "1px solid red"),
        ("ButtonStyleModel", "button_color", "url(http://127.0.0.1/)", None),
        ("ButtonStyleModel", "button_color", "#ff0000", "#ff0000"),
        ("ButtonModel", "icon", "check", "check"),
        ("ButtonModel", "icon", 'x" onclick="y', ""),
        ("ButtonModel", "icon", "check jp-Dialog", ""),
        ("ButtonModel", "icon", "check jp-dialog", "check"),
        ("ButtonModel", "icon", "refresh fa-spin", "refresh fa-spin"),
        ("ButtonModel", "icon", " ", ""),
        ("ToggleButtonsModel", "icons", ["check", "<b>"], ["check", ""]),
        ("ToggleButtonsModel", "icons", ["x modal"], ["x"]),
        ("ButtonModel", "_dom_classes", ["jp-Dialog", "widget-interact"], ["widget-interact"]),
        ("VideoModel", "autoplay", True, False),
        ("LabelModel", "value", "\\href{javascript:x}{y}", "\\\u200bhref{javascript:x}{y}"),
        ("TextModel", "value", "\\href{x}", "\\href{x}"),
        ("OutputModel", "msg_id", "cell", "cell"),
        ("OutputModel", "msg_id", "another", ""),
        ("IntSliderModel", "value", float("inf"), None),
    ],
)
def test_values_of_core_models(name: str, key: str, value: Any, left: Any) -> None:
    module = {"LayoutModel": "@jupyter-widgets/base", "OutputModel": "@jupyter-widgets/output"}
    _, state = Widgets().open(name, module.get(name, CONTROLS), **{key: value})
    assert state is not None
    assert state[key] == left


@pytest.mark.parametrize("name", ["ImageModel", "AudioModel", "VideoModel"])
def test_media_are_data_and_never_addresses(name: str) -> None:
    _, state = Widgets().open(name, format="url", value="http://127.0.0.1/")
    assert state is None


def test_links_join_values_and_never_end_in_html() -> None:
    widgets = Widgets()
    text, _ = widgets.open("TextModel")
    box, _ = widgets.open("HTMLModel")
    slider, _ = widgets.open("IntSliderModel")

    def link(source: str, target: str, attribute: str = "value") -> dict[str, Any] | None:
        ends = {
            "source": [f"IPY_MODEL_{source}", "value"],
            "target": [f"IPY_MODEL_{target}", attribute],
        }
        return widgets.open("DirectionalLinkModel", **ends)[1]

    assert link(slider, text) is not None
    assert link(text, box) is None
    assert link(box, text) is None
    assert link(text, slider, "description") is None
    assert link(text, slider, "_dom_classes") is None
    assert link(text, "f" * 32) is None


def test_outputs_of_an_output_widget_are_output() -> None:
    outputs = [
        {"output_type": "display_data", "data": {"text/html": BAD}, "metadata": {}},
        {"output_type": "display_data", "data": {"application/javascript": "1"}},
        {"output_type": "stream", "name": "stdout", "text": "x\x1b]0;t\x07"},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": []},
        {"output_type": "other"},
        3,
    ]
    _, state = Widgets().open("OutputModel", "@jupyter-widgets/output", outputs=outputs)
    assert state is not None
    kept = state["outputs"]
    assert [each["output_type"] for each in kept] == ["display_data"] * 2 + ["stream", "error"]
    assert "onerror" not in kept[0]["data"]["text/html"].replace("event handlers", "")
    assert "application/javascript" not in kept[1]["data"]
    assert kept[2]["text"] == "x"


def test_buffers_match_their_paths_and_belong_to_media() -> None:
    widgets = Widgets()
    assert widgets.open("ImageModel", buffers=[b"x"], paths=[["value"]])[1] is not None
    assert widgets.open("ImageModel", buffers=[b"x"], paths=[])[1] is None
    assert widgets.open("ImageModel", buffers=[], paths=[["value"]])[1] is None
    assert widgets.open("ImageModel", buffers=[b"x"], paths=["value"])[1] is None
    assert widgets.open("ImageModel", buffers=[b"x"], paths=[[{}]])[1] is None
    assert widgets.open("HTMLModel", buffers=[b"x"], paths=[["value"]])[1] is None


@pytest.mark.parametrize(
    ("path", "opens"),
    [
        (["value"], True),
        (["__proto__", "trusted"], False),
        (["constructor", "prototype", "trusted"], False),
        (["format"], False),
        (["value", "state", "value"], False),
    ],
)
def test_buffers_go_where_the_class_has_them(path: list[str], opens: bool) -> None:
    _, state = Widgets().open("ImageModel", buffers=[b"x"], paths=[path], format="png")
    assert (state is not None) is opens


def test_a_buffer_of_a_reloaded_page_reaches_one_models_state() -> None:
    widgets = Widgets()
    comm, _ = widgets.open("ImageModel", buffers=[b"x"], paths=[["value"]], format="png")
    state = {"_model_module": CONTROLS, "_model_name": "ImageModel", "format": "png"}
    for path, shown in (
        ([comm, "state", "value"], "comm_msg"),
        ([comm, "value"], "display_data"),
        ([comm, "state", "__proto__", "x"], "display_data"),
        (["__proto__", "state", "value"], "display_data"),
    ):
        data = {
            "method": "update_states",
            "states": {comm: {"state": state}},
            "buffer_paths": [path],
        }
        [sent] = widgets.gate.iopub("comm_msg", {"comm_id": "asked", "data": data}, {}, [b"x"])
        assert sent.msg_type == shown, path


def test_a_storm_of_opened_and_closed_comms_leaves_little_behind() -> None:
    widgets = Widgets()
    for _ in range(500):
        comm, state = widgets.open("TextModel")
        assert state is not None
        assert len(widgets.gate.iopub("comm_close", {"comm_id": comm}, {}, [])) == 1
        assert widgets.gate.iopub("comm_close", {"comm_id": comm}, {}, []) == []
        assert widgets.update(comm, value="x") is None
    assert widgets.gate.reply("comm_info_reply", {})["comms"] == {}
    comms = widgets.gate._comms
    assert len(comms._closed) + len(comms._comms) + len(comms._refused) <= 50


def test_a_flood_of_widget_messages_ends_with_one_line() -> None:
    widgets = Widgets()
    comm, _ = widgets.open("TextModel")
    widgets.gate.begin_cell("next", OutputCaps(comm_messages=10))
    data = {"method": "update", "state": {"value": "x"}, "buffer_paths": []}
    sent = [
        out.msg_type
        for _ in range(1_000)
        for out in widgets.gate.iopub("comm_msg", {"comm_id": comm, "data": data}, {}, [])
    ]
    assert sent == ["comm_msg"] * 10 + ["stream"]


def test_the_id_of_a_closed_comm_is_not_used_again() -> None:
    widgets = Widgets()
    comm, _ = widgets.open("TextModel")
    widgets.gate.iopub("comm_close", {"comm_id": comm}, {}, [])
    widgets._number -= 1
    assert widgets.open("HTMLModel") == (comm, None)


def test_the_answer_to_a_reloaded_page_passes_the_same_rules() -> None:
    widgets = Widgets()
    comm, _ = widgets.open("HTMLModel", value="x")
    state = {"_model_module": CONTROLS, "_model_name": "HTMLModel", "value": BAD}
    states = {
        comm: {"model_name": "HTMLModel", "model_module": CONTROLS, "state": state},
        "f" * 32: {"model_name": "AnyModel", "model_module": "anywidget", "state": {}},
    }
    data = {"method": "update_states", "states": states, "buffer_paths": []}
    [out] = widgets.gate.iopub("comm_msg", {"comm_id": "control", "data": data}, {}, [])
    assert list(out.content["data"]["states"]) == [comm]
    assert "onerror" not in str(out.content)
    state["_model_module"] = "anywidget"
    [out] = widgets.gate.iopub("comm_msg", {"comm_id": "control", "data": data}, {}, [])
    assert out.msg_type == "display_data"  # a note stands in its place


def test_comms_are_bounded_and_closed_once() -> None:
    widgets = Widgets()
    comms = [widgets.open("IntSliderModel") for _ in range(60)]
    assert sum(state is not None for _, state in comms) == 50
    close = {"comm_id": comms[0][0], "data": {}}
    assert len(widgets.gate.iopub("comm_close", close, {}, [])) == 1
    assert widgets.gate.iopub("comm_close", close, {}, []) == []
    assert widgets.open("IntSliderModel")[1] is not None
    assert len(widgets.gate.reply("comm_info_reply", {})["comms"]) == 50


@pytest.mark.parametrize(
    "content", [{}, {"comm_id": 3}, {"comm_id": "a\nb"}, {"comm_id": "x" * 999}]
)
def test_malformed_comm_messages_do_nothing(content: dict[str, Any]) -> None:
    gate = Widgets().gate
    for kind in ("comm_open", "comm_msg", "comm_close"):
        assert gate.iopub(kind, content, {}, []) == []
