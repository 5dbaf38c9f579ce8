"""HTML, styles and drawings after cleaning: by table, and for any text that hypothesis finds."""

from __future__ import annotations

import html.parser
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_kernel.trusted.output_gate import DisplayRules, OutputGate, css, svg
from sandbox_kernel.trusted.output_gate.markdown import Document
from sandbox_kernel.trusted.output_gate.markup import ELEMENTS, HtmlSanitiser

SANITISER = HtmlSanitiser()


def clean(text: str) -> str:
    return SANITISER.clean(text).html


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<b>x</b>", "<b>x</b>"),
        ("<table><tr><td colspan=2>x</table>", 'colspan="2"'),
        ('<a href="https://a.example/?b=c">x</a>', 'href="https://a.example/?b=c"'),
        ('<a href="mailto:a@b.example">x</a>', "mailto:a@b.example"),
        ('<a href="#x">y</a><p id="x">z</p>', 'href="#out-x"'),
        ('<img src="data:image/png;base64,AAAA">', 'src="data:image/png;base64,AAAA"'),
        ('<audio controls src="data:audio/wav;base64,AA=="></audio>', "data:audio/wav"),
        ("<details open><summary>x</summary>y</details>", "<details open"),
        ('<p style="color: red; padding: 3px">x</p>', "color: red; padding: 3px"),
        ('<style>.a{color:red}</style><p class="a">x</p>', 'class="out-a"'),
        ("<progress value=3 max=9></progress>", 'max="9"'),
        ("$a < b$ and \\(c\\)", "$a &lt; b$ and \\(c\\)"),
        ("<svg viewBox='0 0 9 9'><circle r='3'/></svg>", '<img src="data:image/svg+xml;base64,'),
    ],
)
def test_what_notebooks_need_is_kept(text: str, kept: str) -> None:
    assert kept in clean(text)


@pytest.mark.parametrize(
    "text",
    [
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
        "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 "
        "onerror=alert(1)&gt;'>",
        "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
        "<svg><desc><style><a title='</style><img src onerror=alert(1)>'></style></desc></svg>",
        "<table><td><form><math><mtext></form><mglyph><svg><mtext><style><path id='</style>"
        "<img onerror=alert(1) src>'>",
        "<select><template></select><img src onerror=alert(1)></template>",
        "<style>a{}</style <img src onerror=alert(1)>>",
        "<!--><img src onerror=alert(1)>-->",
        "<xmp><p title='</xmp><img src onerror=alert(1)>'>",
    ],
)
def test_mutation_vectors_are_stable_after_one_cleaning(text: str) -> None:
    once = clean(text)
    assert "onerror" not in re.sub(r"&lt;.*?&gt;|alt=\"[^\"]*\"|title=\"[^\"]*\"", "", once)
    assert clean(once) == once


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("color: red", "color: red"),
        ("COLOR:RED!important", "color: RED !important"),
        ("background: linear-gradient(90deg, #d65f5f 50%, transparent 50%)",) * 2,
        ("position: sticky; left: 0px", "position: sticky; left: 0px"),
        ("position: fixed", ""),
        ("position: absolute", ""),
        ("margin: -3px", ""),
        ("margin: calc(0px - 9px)", ""),
        ("margin: var(--x)", ""),
        ("--x: -3px", ""),
        ("--x: calc(0px - 9px)", ""),
        ("--x: var(--y, light-dark(black, white))",) * 2,
        ("position: absolute; clip: rect(1px 1px 1px 1px); height: 1px", "display: none"),
        ("clip-path: inset(50%); position: absolute", "display: none"),
        ("clip-path: inset(50%); color: red", "color: red"),
        ("--x: url(http://a)", ""),
        ("background: url(http://a)", ""),
        ("background: u\\72l(http://a)", ""),
        ("background: ur/**/l(a)", ""),
        ("background: image-set('a' 1x)", ""),
        ("width: expression(alert(1))", ""),
        ("width: min(1px", ""),
        ("color: red) } body { color: blue", ""),
        ("color: 'a;b'", ""),
        ("transform: scale(9)", ""),
        ("animation: x 1s", ""),
        ("z-index: 9999", ""),
        ("content: 'x'", "content: 'x'"),
        ('content: "▸"', 'content: "▸"'),
        ("content: url(x)", ""),
        ("content: attr(title)", ""),
        ("content: '\\\\3c'", ""),
        ("pointer-events: none", ""),
    ],
)
def test_declarations(text: str, left: str) -> None:
    assert css.declarations(text) == left


@pytest.mark.parametrize(
    ("sheet", "left"),
    [
        ("b { color: red }", ".s b { color: red }"),
        ("#T_x td, .c { color: red }", ".s #o-T_x td, .s .o-c { color: red }"),
        ("body { color: red }", ".s { color: red }"),
        (":root > p { color: red }", ".s > p { color: red }"),
        ("html body p { color: red }", ".s p { color: red }"),
        (".dataframe.x td { color: red }", ".s .dataframe.o-x td { color: red }"),
        (":root ~ p { color: red }", ""),
        ("body + div { color: red }", ""),
        (":not(body) { color: red }", ".s :not(body) { color: red }"),
        ("> p { color: red }", ""),
        ("a:hover { color: red }", ".s a:hover { color: red }"),
        ("a:visited-x { color: red }", ""),
        ("b::before { content: url(x) }", ""),
        ("b::before { content: 'x' }", ".s b::before { content: 'x' }"),
        ("b) { color: red }", ""),
        (":is(b { color: red }", ""),
        ("@import 'x'; b { color: red }", ".s b { color: red }"),
        ("@font-face { src: url(x) }", ""),
        ("@media print { b { color: red } }", "@media print {\n.s b { color: red }\n}"),
        ("@media x { @media y { b { color: red } } }", ""),
        ("@keyframes x { from { color: red } }", ""),
        ("b { color: red", ".s b { color: red }"),
        ("/* } */ b { color: red }", ".s b { color: red }"),
    ],
)
def test_sheets_hold_only_inside_their_output(sheet: str, left: str) -> None:
    scoped = css.ScopedSheet("s", "o-", frozenset({"dataframe"}))
    scoped.add(sheet)
    assert scoped.text.strip() == left


@pytest.mark.parametrize(
    ("inside", "gone"),
    [
        ("<script>alert(1)</script>", "script"),
        ("<g onclick='alert(1)'/>", "onclick"),
        ("<g oNclick='alert(1)'/>", "oNclick"),
        ("<foreignObject><p xmlns='http://www.w3.org/1999/xhtml'/></foreignObject>", "foreign"),
        ("<h:script xmlns:h='http://www.w3.org/1999/xhtml'>alert(1)</h:script>", "alert"),
        ("<image href='http://a/b.png'/>", "http://a"),
        ("<use href='http://a/b.svg#c'/>", "http://a"),
        ("<a href='javascript:alert(1)'><text>x</text></a>", "javascript"),
        ("<animate attributeName='href' to='javascript:alert(1)'/>", "javascript"),
        ("<set attributeName='onload' to='alert(1)'/>", "alert"),
        ("<g style='fill:url(http://a/b)'/>", "http://a"),
        ("<style>@import 'http://a';</style>", "@import"),
        ("<style>* { fill: url(http://a) }</style>", "http://a"),
        ("<metadata><x>secret</x></metadata>", "secret"),
    ],
)
def test_svg_is_shapes_and_text(inside: str, gone: str) -> None:
    document = f'<svg xmlns="http://www.w3.org/2000/svg"><circle r="3"/>{inside}</svg>'
    left = svg.clean(document)
    assert '<circle r="3">' in left
    assert gone not in left
    assert svg.clean(left) == left


@pytest.mark.parametrize(
    "document",
    ["", "<svg>", "<svg/>", "<html/>", "x", "<svg xmlns='http://www.w3.org/2000/svg'>&b;</svg>"],
)
def test_what_is_no_svg_is_refused(document: str) -> None:
    with pytest.raises(svg.UnreadableSvg):
        svg.clean(document)


def test_svg_keeps_local_references_and_embedded_pictures() -> None:
    document = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        '<use xlink:href="#a"/><g style="clip-path: url(#b)"/>'
        '<image href="data:image/png;base64,AAAA"/><style>*{stroke-linejoin: round}</style></svg>'
    )
    left = svg.clean(document)
    for part in ('"#a"', "url(#b)", "data:image/png;base64,AAAA", "stroke-linejoin"):
        assert part in left


# ---- any text ----------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    "<b> </b> <img src=x onerror=alert(1)> <script> </script> <style> </style> <svg> </svg> <math> "
    "<mtext> <mglyph> <table> <td> <form> </form> <noscript> </noscript> <template> <title> "
    "</title> <textarea> <select> <!-- --> --!> <![CDATA[ ]]> <a\thref='javascript:x'> <p\tid=\"> "
    "<p\tclass=jp-Dialog\tid=main> </p> \" ' > < & &lt; &#60; / = \x00 \ud800 {} @import url(x) "
    "$\\href{javascript:x}{y}$ ` [a](javascript:b) ![a](http://b) <iframe\tsrcdoc='<p>'> <base> "
    "<p\tstyle='background:url(x);position:fixed'> <\tb\tonclick=c> <foreignObject> <desc> "
    "{color:red} .a <wbr> <xmp> <plaintext>".split(" ")
)
TEXTS = st.lists(FRAGMENTS | st.text(max_size=8), max_size=14).map("".join)


class _Reader(html.parser.HTMLParser):
    """A second, quite different parser: what it finds active, some browser might."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ELEMENTS | {"style"}:
            self.active.append(tag)
        for name, value in attrs:
            value = (value or "").strip().lower()
            if name.startswith("on") or name in ("srcdoc", "srcset", "action", "formaction"):
                self.active.append(f"{tag} {name}")
            if name == "href" and not value.startswith(("http:", "https:", "mailto:", "#out-")):
                self.active.append(f"{tag} href {value}")
            if name == "src" and not value.startswith("data:"):
                self.active.append(f"{tag} src {value}")
            if name == "style" and ("url" in value or "fixed" in value):
                self.active.append(f"{tag} style {value}")
            if (name == "id" and not value.startswith("out-")) or "jp-" in value:
                self.active.append(f"{tag} {name} {value}")


def active(text: str) -> list[str]:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.active


@given(TEXTS)
def test_no_text_leaves_anything_active(text: str) -> None:
    left = clean(text)
    left.encode()
    assert active(left) == []
    assert "\\href" not in left


@given(TEXTS)
def test_no_markdown_leaves_anything_active_in_either_form(text: str) -> None:
    document = Document(text)
    assert active(clean(document.as_html())) == []
    source = document.as_markdown()
    assert re.search(r"<(?!/?code>|/?pre>|br>)[A-Za-z/!?]", source) is None
    for address in re.findall(r"\]\(([^)]*)\)", source.replace("\\]", "")):
        assert address.startswith(("http:", "https:", "mailto:", "data:image/"))


@given(TEXTS)
def test_no_sheet_leaves_an_address_or_an_unscoped_rule(text: str) -> None:
    scoped = css.ScopedSheet("s", "o-", frozenset({"dataframe"}))
    scoped.add(text)
    # As the name of an element these words do nothing.
    assert re.search(r"url\(|@import|: *fixed|<", scoped.text) is None
    for line in scoped.text.splitlines():
        assert line.startswith((".s", "@media ", "}"))


@given(TEXTS)
def test_no_svg_leaves_anything_active(text: str) -> None:
    document = f'<svg xmlns="http://www.w3.org/2000/svg">{text}</svg>'
    try:
        left = svg.clean(document)
    except svg.UnreadableSvg:
        return
    for element in ElementTree.fromstring(left).iter():
        name = element.tag.rpartition("}")[2]
        assert name in svg.ELEMENTS
        if name == "style":
            assert "url(x" not in (element.text or "")
        for attribute, value in element.attrib.items():
            assert not attribute.rpartition("}")[2].lower().startswith("on")
            assert "javascript:" not in value
            assert "url(x" not in value


@pytest.mark.parametrize("rule", [":root", "html", "body", "html:hover", ":root:not(p)"])
def test_no_rule_reaches_the_element_that_clips(rule: str) -> None:
    html = clean(f"<style>{rule} {{ display: contents }}</style>x")
    clipping, _, inner = html.partition("><")
    assert clipping == '<div style="contain: paint"'
    assert re.match(r'div class="(out-[0-9a-f]+)"><style>\.\1', inner)


def test_a_note_quotes_no_formula() -> None:
    gate = OutputGate(DisplayRules())
    html = r'<img src="$\href{http://a}{x}$">'
    [out] = gate.iopub("display_data", {"data": {"text/html": html}, "metadata": {}}, {}, [])
    shown = out.content["data"]["text/html"]
    assert "picture at" in shown
    assert r"\href" not in shown


def test_an_svg_that_is_read_as_html_fetches_nothing() -> None:
    head = '<svg xmlns="http://www.w3.org/2000/svg">'
    inside = '<desc><image srcset="http://127.0.0.1/x 1x"/></desc>'
    assert "127.0.0.1" not in svg.clean(f"{head}{inside}</svg>")
