"""Vectors of script and fetch, parsed by a real browser after the gate: nothing is left of them.

The page's own content policy allows no inline script and no fetch, and *reports* each attempt.
So an attempt is seen whatever the vector tries to call, and nothing leaves the machine. The
control shows the same vectors, unsanitised, attempting.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.trusted.output_gate import DisplayRules, OutputCaps, OutputGate
from sandbox_kernel.trusted.output_gate.markup import ELEMENTS

HERE = Path(__file__).parent / "vectors"
POLICY = (
    "default-src 'none'; script-src 'nonce-test'; style-src 'unsafe-inline'; "
    "img-src data:; media-src data:; report-sample"
)
PAGE = f"""<!DOCTYPE html><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<script nonce="test">
window.attempts = [];
document.addEventListener('securitypolicyviolation', event =>
    attempts.push(event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample));
</script><body>"""

# What JupyterLab does with trusted output: parse it as a fragment, then run its scripts. After
# that each element is looked at. Answers with the number of each vector that broke a rule.
INSERT = """async ([texts, elements]) => {
    const allowed = new Set(elements.map(name => name.toUpperCase()));
    const bad = [];
    for (const [number, text] of texts.entries()) {
        const place = document.createElement('div');
        document.body.append(place);
        const before = attempts.length;
        place.innerHTML = text;
        for (const script of place.querySelectorAll('script')) {
            const copy = document.createElement('script');
            copy.textContent = script.textContent;
            script.replaceWith(copy);
        }
        for (const element of place.querySelectorAll('*')) {
            if (!allowed.has(element.tagName)) bad.push([number, element.tagName]);
            for (const attribute of element.attributes) {
                const name = attribute.name, value = attribute.value.trim();
                if (/^on|^data-|^srcdoc|^srcset|^action|^formaction|^background|^ping/.test(name))
                    bad.push([number, name]);
                if (name === 'href' && !/^(https?:|mailto:|#out-)/i.test(value))
                    bad.push([number, 'href ' + value]);
                if (name === 'src' && !/^data:(image|audio|video)\\//i.test(value))
                    bad.push([number, 'src ' + value]);
                if (name === 'id' && !value.startsWith('out-')) bad.push([number, 'id ' + value]);
                if (name === 'class' && /(^| )(jp|lm|p|jupyter)-/.test(value))
                    bad.push([number, 'class ' + value]);
            }
            const style = getComputedStyle(element);
            if (['fixed', 'absolute'].includes(style.position)) bad.push([number, 'position']);
        }
        await new Promise(done => setTimeout(done, 0));
        if (attempts.length > before)
            bad.push([number, attempts.slice(before).join(' | ')]);
        place.remove();
    }
    return bad;
}"""


def own_vectors(name: str) -> list[str]:
    lines = (HERE / name).read_text("utf-8").splitlines()
    return [line.replace("\\n", "\n") if name == "markdown.txt" else line for line in lines]


def public_vectors() -> list[str]:
    brs_kb = pytest.importorskip("brs_kb", reason="needs the public list of the package brs-kb")
    return sorted({str(each["payload"]) for each in brs_kb.get_all_payloads().values()})


def gated(mime: str, text: str) -> str:
    """The HTML that a front end would show for an output."""
    gate = OutputGate(DisplayRules())
    gate.begin_cell("c", OutputCaps())
    content = {"data": {mime: text}, "metadata": {}, "transient": {}}
    [out] = gate.iopub("display_data", content, {}, [])
    return str(out.content["data"].get("text/html", ""))


@pytest.fixture
def strict_page(page: Any) -> Any:
    """A page that reports every attempt to run or fetch; requests that get out are collected."""
    page.requests = []
    page.on("request", lambda request: page.requests.append(request.url))
    page.set_content(PAGE)
    return page


def broken(page: Any, texts: list[str]) -> list[Any]:
    return list(page.evaluate(INSERT, [texts, sorted(ELEMENTS | {"style"})]))


def parsed_as_documents(page: Any, texts: list[str]) -> list[str]:
    """Each hundred as one document, as an exported page has them; the attempts of all."""
    attempts: list[str] = []
    for start in range(0, len(texts), 100):
        page.set_content(
            PAGE + "".join(f"<div>{text}</div>" for text in texts[start : start + 100])
        )
        attempts += page.evaluate("attempts")
    return attempts


VECTORS = {
    "html": lambda: [("text/html", each) for each in own_vectors("html.txt")],
    "markdown": lambda: [("text/markdown", each) for each in own_vectors("markdown.txt")],
    "public": lambda: [("text/html", each) for each in public_vectors()],
    "public-markdown": lambda: [("text/markdown", each) for each in public_vectors()],
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", VECTORS)
def test_nothing_of_a_vector_runs_or_fetches(strict_page: Any, name: str) -> None:
    vectors = VECTORS[name]()
    texts = [gated(mime, text) for mime, text in vectors]
    found = [(vectors[number][1], what) for number, what in broken(strict_page, texts)]
    assert found == []
    assert parsed_as_documents(strict_page, texts) == []
    assert [url for url in strict_page.requests if not url.startswith(("data:", "about:"))] == []


@pytest.mark.timeout(300)
def test_the_same_vectors_attempt_a_great_deal_when_nothing_cleans_them(strict_page: Any) -> None:
    # A redirection would end the page, and the test with it.
    own = [each for each in own_vectors("html.txt") if "http-equiv" not in each]
    assert len(own) + len(own_vectors("markdown.txt")) >= 200
    numbers = {number for number, _ in broken(strict_page, own)}
    # Not each vector acts in this browser; the list must not have gone blunt.
    assert len(numbers) > len(own) * 0.7
    assert len(public_vectors()) > 3_000


@pytest.mark.timeout(300)
def test_the_markdown_that_is_kept_is_inert_under_another_reading(strict_page: Any) -> None:
    """The `text/markdown` entry, read by a renderer that lets HTML through and knows no maths."""
    from markdown_it import MarkdownIt

    other = MarkdownIt("commonmark", {"html": True})
    other.validateLink = lambda url: True  # type: ignore[method-assign]
    gate = OutputGate(DisplayRules())
    texts = []
    sources = own_vectors("markdown.txt") + own_vectors("html.txt")
    for source in sources:
        gate.begin_cell("c", OutputCaps())
        content = {"data": {"text/markdown": source}, "metadata": {}, "transient": {}}
        [out] = gate.iopub("display_data", content, {}, [])
        texts.append(other.render(out.content["data"]["text/markdown"]))
    found = [(sources[number], what) for number, what in broken(strict_page, texts)]
    assert found == []
    control = [other.render(each) for each in sources if "http-equiv" not in each]
    assert len({number for number, _ in broken(strict_page, control)}) > len(control) / 2
    assert html.escape("<") in "".join(texts)


# The page around an output: what follows it must stay what a person sees and hits there. Its own
# sheet has what front ends have: classes with which their dialogs and notices cover the page.
AROUND = """<style>
body { margin: 0 } #output { height: 200px; overflow: visible }
#next { height: 300px; background: #eee }
#next { display: block; width: 100% }
.jp-Dialog, .Toastify__toast-container, .modal { position: fixed; inset: 0; z-index: 9999 }
</style><div id=output></div><button id=next>Next cell</button>"""
COVER = "width: 3000px; height: 3000px; background: red"
STICKY = f"position: sticky; top: 0; z-index: 3; {COVER}"
COVERING = {
    "fixed": f'<div style="position: fixed; inset: 0; {COVER}">x</div>',
    "sheet": f"<style>p {{ position: absolute; top: 0; {COVER} }}</style><p>x</p>",
    "negative-margin": f'<div style="margin-top: -500px; {COVER}">x</div>',
    "transform": f'<div style="transform: translateY(100px); {COVER}">x</div>',
    "toast": f"<style>.Toastify__toast-container {{ {COVER} }}</style>"
    '<div class="Toastify__toast-container">Log in again</div>',
    "modal": f'<style>.modal {{ {COVER} }}</style><div class="modal">Log in again</div>',
    "dialog": '<div class="jp-Dialog" style="background: red">Log in again</div>',
    "overflow": f'<div style="height: 0; overflow: visible"><div style="{STICKY}">x</div></div>',
    "overflow-root": "<style>:root, html, body { height: 0; display: contents; overflow: visible }"
    f" p {{ {STICKY} }}</style><p>x</p>",
    "overflow-inline": "<style>:root { display: inline !important; overflow: visible }"
    f" p {{ {STICKY} }}</style><p>x</p>",
    "page": f"<style>#next {{ display: none }} body {{ {COVER} }}</style>x",
    "sibling": "<style>:root ~ button { visibility: hidden } * + button { color: red }</style>x",
}
HIT = """text => {
    const output = document.getElementById('output'), next = document.getElementById('next');
    output.innerHTML = '';
    const before = next.getBoundingClientRect();
    // The output's own height is its own affair: it is held at 200 pixels, as a front end clips it.
    output.innerHTML = text;
    const inner = output.firstElementChild;
    const clipped = getComputedStyle(inner ?? output).contain.includes('paint');
    if (inner && clipped) inner.style.maxHeight = '200px';
    const after = next.getBoundingClientRect();
    const hit = document.elementFromPoint(before.left + 40, before.top + 150);
    const style = getComputedStyle(next);
    return hit === next && after.top === before.top && after.height === before.height
        && style.visibility === 'visible' && style.color === 'rgb(0, 0, 0)';
}"""


@pytest.mark.parametrize("name", COVERING)
def test_no_output_covers_what_follows_it(page: Any, name: str) -> None:
    page.set_content(AROUND)
    assert page.evaluate(HIT, gated("text/html", COVERING[name])), "covered"
    page.set_content(AROUND)
    assert not page.evaluate(HIT, COVERING[name]), "the control covers nothing"
