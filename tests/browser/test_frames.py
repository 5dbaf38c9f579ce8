"""Output with scripts draws in its frame, and reaches neither the page nor the network."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.trusted.output_gate.frame import framed
from tests.browser.jupyter import JupyterServer, open_notebook
from tests.browser.witnesses import Listener, script

FRAMING = '{"html": "frame", "javascript": "frame"}'

# Each line is one way out. What happens is told in the frame's own text, which only the test,
# through the debugging protocol, can read.
ESCAPES = {
    "fetch": "fetch('{url}')",
    "xhr": "const r = new XMLHttpRequest(); r.open('GET', '{url}'); r.send()",
    "image": "new Image().src = '{url}'",
    "beacon": "navigator.sendBeacon('{url}', 'x')",
    "websocket": "new WebSocket('{url}'.replace('http', 'ws'))",
    "events": "new EventSource('{url}')",
    "script": "document.head.append(Object.assign(document.createElement('script'),"
    " {{src: '{url}'}}))",
    "style": "document.head.append(Object.assign(document.createElement('link'),"
    " {{rel: 'stylesheet', href: '{url}'}}))",
    "prefetch": "document.head.append(Object.assign(document.createElement('link'),"
    " {{rel: 'prefetch', href: '{url}'}}))",
    "preconnect": "document.head.append(Object.assign(document.createElement('link'),"
    " {{rel: 'preconnect', href: '{url}'}}))",
    "speculation": "document.head.append(Object.assign(document.createElement('script'),"
    ' {{type: "speculationrules", textContent: JSON.stringify({{prefetch: [{{source: "list",'
    ' urls: ["{url}"]}}]}})}}))',
    "worker": "new Worker(URL.createObjectURL(new Blob([`fetch('{url}')`])))",
    "frame": "document.body.append(Object.assign(document.createElement('iframe'),"
    " {{src: '{url}'}}))",
    "nested-frame": "document.body.append(Object.assign(document.createElement('iframe'),"
    " {{srcdoc: '<img src={url}>'}}))",
    "form": "const f = document.createElement('form'); f.action = '{url}';"
    " document.body.append(f); f.submit()",
    "popup": "window.open('{url}')",
    "top": "top.location = '{url}'",
    "parent": "parent.location = '{url}'",
    "link": "const a = document.createElement('a'); a.href = '{url}'; a.target = '_blank';"
    " document.body.append(a); a.click()",
    "itself": "location = '{url}'",
    "itself-meta": "document.head.append(Object.assign(document.createElement('meta'),"
    " {{httpEquiv: 'refresh', content: '0;url={url}'}}))",
    "css": "document.body.style.background = 'url({url})'",
    "font": "new FontFace('a', 'url({url})').load()",
    "import": "import('{url}')",
    "webrtc": "new RTCPeerConnection({{iceServers: [{{urls: 'stun:127.0.0.1:1'}}]}})",
    "parent-document": "parent.document.title",
    "top-document": "top.document.cookie",
    "cookies": "document.cookie",
    "storage": "localStorage.setItem('a', 'b')",
    "databases": "indexedDB.open('a').onsuccess.x",
    "api": "fetch('/api/contents')",
}
REFUSED_AT_ONCE = ("parent-document", "top-document", "cookies", "storage", "webrtc")


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listening:
        yield listening


def _document(listener: Listener, name: str) -> str:
    code = ESCAPES[name].format(url=f"{listener.url}/{name}")
    return (
        f"<p id=told>started</p><script>try {{ {code}; told.textContent = 'done' }}"
        " catch (e) { told.textContent = 'refused ' + e.name }</script>"
    )


def _frames(page: Any) -> list[Any]:
    return [frame for frame in page.frames if frame != page.main_frame]


@pytest.mark.parametrize("name", ESCAPES)
def test_a_script_in_a_frame_reaches_nothing(page: Any, listener: Listener, name: str) -> None:
    page.goto(f"{listener.url}/page")
    before = page.url
    page.set_content(f"<body>{framed(_document(listener, name))}")
    inner = page.frame_locator("iframe").frame_locator("iframe")
    told = inner.locator("#told")
    if name not in ("itself", "itself-meta"):
        told.wait_for()
        assert told.inner_text() != "started"
    if name in REFUSED_AT_ONCE:
        assert told.inner_text().startswith("refused")
    # Nothing announces that a request will not come.
    page.wait_for_timeout(700)
    assert name not in listener.paths
    assert page.url == before
    assert len(page.context.pages) == 1


NETWORK = tuple(
    name
    for name in ESCAPES
    if name not in (*REFUSED_AT_ONCE, "databases", "api", "preconnect", "speculation", "prefetch")
)


@pytest.mark.parametrize("name", NETWORK)
def test_the_same_script_outside_a_frame_reaches_the_listener(
    page: Any, listener: Listener, name: str
) -> None:
    page.goto(f"{listener.url}/page")
    if name in ("top", "parent", "nested-frame", "popup", "link"):
        assert name in ESCAPES  # these differ outside: top is the page itself
    page.set_content(f"<body>{_document(listener, name)}")
    for _ in range(100):
        if name in listener.paths:
            break
        page.wait_for_timeout(50)
    assert name in listener.paths


PEERS = (
    "const p = new RTCPeerConnection({{iceServers: [{{urls: 'stun:127.0.0.1:{port}'}}]}});"
    "p.createDataChannel('x'); p.createOffer().then(offer => p.setLocalDescription(offer))"
)
NESTED = {
    "direct": "<script>{code}</script>",
    "written": '<iframe srcdoc="<script>{code}</script>"></iframe>',
    "made": "<script>const f = document.createElement('iframe'); f.srcdoc = `<script>{code}"
    "<\\/script>`; document.body.append(f)</script>",
    "in-shadow": "<p id=h></p><script>const f = document.createElement('iframe'); f.srcdoc ="
    " `<script>{code}<\\/script>`; h.attachShadow({{mode: 'closed'}}).append(f)</script>",
    "from-blank": "<iframe id=f></iframe><script>window.RTCPeerConnection ="
    " f.contentWindow.RTCPeerConnection; {code}</script>",
}


@pytest.mark.parametrize("name", NESTED)
def test_a_frame_makes_no_peer_connection(page: Any, name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        code = PEERS.format(port=udp.getsockname()[1])
        document = NESTED[name].format(code=code)
        page.set_content(f"<body>{framed(document)}")
        page.wait_for_timeout(1_500)
        with pytest.raises(BlockingIOError):
            udp.recv(2_000)
        page.set_content(f"<body>{document}")  # the control: the same, unframed
        for _ in range(100):
            page.wait_for_timeout(50)
            with contextlib.suppress(BlockingIOError):
                assert udp.recv(2_000)
                return
        pytest.fail("the control made no contact")


LIBRARIES = {
    "plotly": (
        "import plotly.graph_objects as go\n"
        "go.Figure(go.Bar(y=[1, 3, 2])).update_layout(height=300)",
        "svg.main-svg",
    ),
    "plotly-html": (
        "from IPython.display import HTML\nimport plotly.graph_objects as go\n"
        "HTML(go.Figure(go.Bar(y=[1, 3, 2])).to_html(include_plotlyjs=True, full_html=False,"
        " default_height='300px'))",
        "svg.main-svg",
    ),
    "bokeh": (
        "from bokeh.plotting import figure\nfrom bokeh.io import output_notebook, show\n"
        "from bokeh.resources import INLINE\noutput_notebook(INLINE, hide_banner=True)\n"
        "p = figure(height=300)\np.line([1, 2, 3], [1, 3, 2])\nshow(p)",
        ".bk-Figure",
    ),
    "javascript": (
        "from IPython.display import Javascript\n"
        'Javascript(\'const p = document.createElement("p"); p.id = "drawn";'
        ' p.textContent = "drawn"; element.append(p)\')',
        "#drawn",
    ),
    "html": (
        "from IPython.display import HTML\n"
        'HTML(\'<canvas id=c height=120></canvas><script>c.getContext("2d").fillRect(9, 9, 50, 50);'
        'c.id = "drawn"</script>\')',
        "#drawn",
    ),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("frontend", ["lab", "notebook"])
def test_libraries_draw_in_frames_in_a_real_front_end(
    frontend: str, page: Any, tmp_path: Path, listener: Listener
) -> None:
    evil = script("framed", listener.url)
    steal = f"from IPython.display import HTML\nHTML({'<script>' + evil + '</script>'!r})"
    with JupyterServer(frontend, tmp_path) as server:
        argv = [sys.executable, "-m", "tests.browser.gated_kernel", FRAMING]
        server.kernel("framing", [*argv, "-f", "{connection_file}"])
        cells = [code for code, _ in LIBRARIES.values()]
        server.notebook("frames.ipynb", [*cells, steal], "framing")
        page.set_viewport_size({"width": 1200, "height": 4_000})
        notebook = open_notebook(page, server, "frames.ipynb")
        notebook.run_all()
        for number, (name, (_, drawn)) in enumerate(LIBRARIES.items()):
            outer = notebook.outputs(number).frame_locator("iframe").first
            inner = outer.frame_locator("iframe")
            inner.locator(drawn).first.wait_for(state="attached", timeout=45_000)
            assert inner.locator(drawn).count() > 0, name
        notebook.outputs(len(cells)).locator("iframe").first.wait_for(state="attached")
        page.wait_for_timeout(1_000)
        assert listener.paths == set()
        assert not list(server.root.glob("w-*"))
