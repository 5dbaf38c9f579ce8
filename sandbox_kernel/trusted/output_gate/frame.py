"""Active output in a frame that draws and reaches nothing.

Two frames, one in the other, both written into the page by `srcdoc`:

- Both have `sandbox="allow-scripts"`: their origin is null, so neither the page, its cookies and
  storage, nor the server's API can be reached; no pop-ups, no forms, no navigation of the page.
- A content policy in the outer one (inherited by the inner) allows scripts and styles that are in
  the document, and pictures and fonts that are data. Everything that fetches is closed.
- The outer one exists for one reason: a frame may always navigate *itself*, which would carry
  data out in an address. `frame-src 'none'` of the outer one forbids that to the inner one, and
  the outer one runs no script of the worker's.

The height is guessed from the output's own text and can be dragged; the frame has no channel on
which it could ask the page for anything.
"""

from __future__ import annotations

import html
import re

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; media-src data: blob:; "
    "worker-src blob:; connect-src data: blob:; frame-src 'none'; base-uri 'none'; "
    "form-action 'none'; webrtc 'block'"
)

_HEAD = (
    '<!DOCTYPE html><meta charset="utf-8">'
    f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    '<meta http-equiv="x-dns-prefetch-control" content="off">'
    '<meta name="referrer" content="no-referrer">'
)
_OUTER_STYLE = (
    "<style>html,body{margin:0;height:100%}iframe{border:0;width:100%;height:100%}</style>"
)
_INNER_STYLE = "<style>body{margin:4px;font-family:sans-serif;background:#fff}</style>"

# WebRTC is not under the content policy of any browser yet (`webrtc 'block'` is in the draft), so
# its classes are taken away, and with them the frames in which a script would find fresh ones.
# Known gap: a frame inside a closed shadow tree is not seen.
_NO_PEERS = """<script>(() => {
const gone = ['RTCPeerConnection', 'webkitRTCPeerConnection', 'WebTransport'];
for (const name of gone) Object.defineProperty(window, name, {value: undefined});
const root = Object.getOwnPropertyDescriptor(Element.prototype, 'shadowRoot').get;
const attach = Element.prototype.attachShadow, call = Function.prototype.call;
const drop = call.bind(Element.prototype.remove);
const find = call.bind(Element.prototype.querySelectorAll);
const is = call.bind(Element.prototype.matches), of = call.bind(root), make = call.bind(attach);
const watch = call.bind(MutationObserver.prototype.observe);
const what = {childList: true, subtree: true};
const look = node => {
  if (!(node instanceof Element)) return;
  if (is(node, 'iframe,frame,object,embed')) return drop(node);
  for (const inner of find(node, '*')) {
    if (is(inner, 'iframe,frame,object,embed')) drop(inner);
    else if (of(inner)) watch(observer, of(inner), what);
  }
};
const observer = new MutationObserver(records => {
  for (const record of records) for (const node of record.addedNodes) look(node);
});
watch(observer, document, what);
Element.prototype.attachShadow = function (options) {
  const shadow = make(this, options);
  watch(observer, shadow, what);
  return shadow;
};
})()</script>"""

_SCANNED = 200_000
_HEIGHT = re.compile(r"(?<![-\w])height[\"']?\s*[:=]\s*[\"']?([0-9]{2,4})(?![0-9%])")
_LOADS = re.compile(
    # Elements, also in the escaped text of an inner frame.
    r"(?:<|&lt;)(?:script|link|iframe|img)\b[^<>]{0,300}?(?:src|href)\s*=\s*"
    r"(?:[\"']|&quot;|&#39;|&#x27;)?\s*(?:https?:)?//([\w.-]{1,100})"
    # Addresses in a script that are those of libraries.
    r"|https?://((?:cdn|unpkg|esm|cdnjs)\.[\w.-]{1,100})",
    re.IGNORECASE,
)
MOST_HOSTS = 4


def loads_from(document: str) -> list[str]:
    """Hosts from which a document would load what it needs. For a note; never a decision."""
    hosts: dict[str, None] = {}
    for found in _LOADS.finditer(document[:_SCANNED]):
        hosts[(found.group(1) or found.group(2)).lower()] = None
        if len(hosts) == MOST_HOSTS:
            break
    return list(hosts)


DEFAULT_HEIGHT, LEAST_HEIGHT, MOST_HEIGHT = 420, 60, 1_000


def height_of(document: str) -> int:
    """A height in CSS pixels for a document, guessed from the heights that it names."""
    scanned = document[:_SCANNED]
    if len(document) > _SCANNED:
        scanned += document[-_SCANNED:]
    named = [int(found) for found in _HEIGHT.findall(scanned)]
    likely = [each for each in named if LEAST_HEIGHT <= each <= MOST_HEIGHT]
    return min(max(likely, default=DEFAULT_HEIGHT) + 24, MOST_HEIGHT)


def framed(document: str, *, height: int | None = None) -> str:
    """HTML for the page, in which `document` (of the worker, unchanged) runs apart from it."""
    pixels = height_of(document) if height is None else height
    inner = html.escape(_HEAD + _NO_PEERS + _INNER_STYLE + "<body>" + document)
    outer = html.escape(
        f'{_HEAD}{_OUTER_STYLE}<iframe sandbox="allow-scripts" srcdoc="{inner}"></iframe>',
        quote=True,
    )
    return (
        f'<div style="resize: vertical; overflow: hidden; height: {pixels}px; contain: paint">'
        f'<iframe sandbox="allow-scripts" srcdoc="{outer}" referrerpolicy="no-referrer" '
        'style="border: 0; width: 100%; height: 100%" title="output in a frame"></iframe></div>'
    )
