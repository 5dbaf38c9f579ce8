"""Which Vega and Vega-Lite specs are drawn, and with which tooltips."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox_kernel.trusted.output_gate import vega

ROWS = {"data": {"values": [{"a": 1, "b": "image", "url": "x", "cursor": "url(x)"}]}}
POINT = {**ROWS, "mark": "point"}
SLIDER = {"input": "range", "min": 0, "max": 9, "step": 1, "name": "n"}


@pytest.mark.parametrize(
    "spec",
    [
        POINT,
        {**POINT, "mark": {"type": "point", "cursor": "pointer", "tooltip": True}},
        {**POINT, "params": [{"name": "p", "value": 3, "bind": SLIDER}]},
        {**POINT, "params": [{"name": "p", "select": "interval", "bind": "scales"}]},
        {**POINT, "params": [{"name": "p", "select": "point", "bind": "legend"}]},
        {**POINT, "params": [{"name": "p", "select": "point", "bind": {"legend": "dblclick"}}]},
        {**POINT, "params": [{"name": "p", "select": "point", "bind": {"a": SLIDER}}]},
        {"marks": [{"type": "rect", "encode": {"update": {"cursor": {"value": "move"}}}}]},
        {**POINT, "transform": [{"calculate": "datum.a * 2", "as": "c"}]},
        {**POINT, "title": "Price of an item. By window (top 10)", "description": "open (2020)"},
        {**POINT, "encoding": {"x": {"field": "a", "sort": ["item (kg)"], "title": "item (kg)"}}},
        {**POINT, "usermeta": {"embedOptions": {"loader": {"baseURL": "http://127.0.0.1"}}}},
        {"signals": [{"on": [{"events": "[mousedown, window:mouseup] > window:mousemove!"}]}]},
        {"signals": [{"on": [{"events": "window:keydown", "update": "a != 1"}]}]},
        {"signals": [{"on": [{"events": "wheel!, view:wheel!, @bar:click!, rect:mousedown!"}]}]},
        {"signals": [{"on": [{"events": {"type": "wheel", "consume": True}}]}]},
        {**POINT, "params": [{"name": "p", "select": {"type": "point", "on": "pointerover"}}]},
    ],
)
def test_a_drawing_with_its_own_data_is_drawn(spec: Any) -> None:
    assert vega.refusal(spec) is None


@pytest.mark.parametrize(
    "spec",
    [
        "text",
        {"data": {"url": "/api/contents"}, "mark": "point"},
        {**POINT, "encoding": {"href": {"field": "a"}}},
        {**POINT, "mark": "image"},
        {**POINT, "mark": {"type": "image"}},
        {**POINT, "mark": {"type": "point", "cursor": "url(http://127.0.0.1/x), auto"}},
        {"marks": [{"encode": {"update": {"cursor": {"value": "url(http://127.0.0.1/x)"}}}}]},
        {"marks": [{"encode": {"update": {"cursor": {"signal": "'ur' + 'l(x)'"}}}}]},
        {"marks": [{"encode": {"update": {"cursor": [{"test": "a", "value": "url(x)"}]}}}]},
        {"signals": [{"name": "cursor", "value": "url(http://127.0.0.1/x), auto"}]},
        {**POINT, "params": [{"name": "p", "bind": {**SLIDER, "onfocus": "alert(1)"}}]},
        {**POINT, "params": [{"name": "p", "bind": {**SLIDER, "element": "body"}}]},
        {**POINT, "params": [{"name": "p", "bind": {"element": "#x", "event": "input"}}]},
        {**POINT, "params": [{"name": "p", "bind": {**SLIDER, "input": "password"}}]},
        {**POINT, "params": [{"name": "p", "bind": {**SLIDER, "input": "image", "src": "x"}}]},
        {**POINT, "params": [{"name": "p", "bind": {"a": {**SLIDER, "style": "x"}}}]},
        {**POINT, "params": [{"name": "p", "bind": {"a": {"b": SLIDER}}}]},
        {**POINT, "params": [{"name": "p", "bind": [SLIDER]}]},
        {**POINT, "transform": [{"calculate": "datum['con' + 'structor']['constructor']"}]},
        {**POINT, "transform": [{"calculate": "datum['con\\u0073tructor']"}]},
        {**POINT, "transform": [{"calculate": "event.view.alert"}]},
        {**POINT, "title": {"text": {"expr": "event.view.alert"}}},
        {"title": {"text": {"signal": "window.x"}}},
        {**POINT, "__proto__": {"url": 1}},
        {"signals": [{"on": [{"events": "window:keydown!"}]}]},
        {"signals": [{"on": [{"events": "window:click[event]!"}]}]},
        {"signals": [{"on": [{"events": "button:click!"}]}]},
        {"signals": [{"on": [{"events": {"source": "window", "type": "wheel", "consume": True}}]}]},
        {**POINT, "params": [{"select": {"type": "point", "on": "window:keydown!"}}]},
    ],
)
def test_what_loads_leads_away_or_reaches_the_page_is_refused(spec: Any) -> None:
    assert vega.refusal(spec) is not None


@pytest.mark.parametrize(
    ("spec", "plain"),
    [
        ({"mark": {"type": "point", "tooltip": True}, "data": {"values": [{"a": 1}]}}, False),
        ({**POINT, "encoding": {"tooltip": {"field": "a"}}}, True),
        ({"encoding": {"tooltip": [{"field": "a", "title": "image"}]}}, True),
        ({"encoding": {"tooltip": {"value": "x"}}, "data": {"values": [{"image": "x"}]}}, True),
        ({"encoding": {"tooltip": {"value": "x"}}, "data": {"values": "image\nx"}}, True),
        ({"encoding": {"tooltip": {"value": "x"}}, "datasets": {"d": "a"}}, True),
        ({"mark": {"tooltip": {"content": "data"}}, "transform": [{"pivot": "a"}]}, True),
        ({"mark": {"type": "point"}, "data": {"values": [{"image": "x"}]}}, False),
    ],
)
def test_tooltips_that_might_load_a_picture_are_the_browsers_own(spec: Any, plain: bool) -> None:
    spec = {**spec, "usermeta": {"embedOptions": {"actions": False}}}
    settings = {"embedOptions": {"tooltip": False}}
    assert vega.cleaned(spec).get("usermeta") == (settings if plain else None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (
            {"embedOptions": {"theme": "dark", "actions": False}},
            {"embedOptions": {"theme": "dark"}},
        ),
        ({"embedOptions": {"theme": "constructor"}}, None),
        ({"embedOptions": {"config": "http://127.0.0.1/x", "theme": ["dark"]}}, None),
        ({"other": 1}, None),
        ([1], None),
    ],
)
def test_of_the_pages_settings_a_theme_is_kept(given: Any, kept: Any) -> None:
    assert vega.cleaned({**POINT, "usermeta": given}).get("usermeta") == kept
