"""The HTML of a plain pandas DataFrame, recognised by its exact shape.

It is by far the most frequent and the largest HTML in notebooks, and a full parse of a 3 MB one
takes a quarter of a second. What is recognised here holds no attribute but pandas' own
constants, and every `<` in it starts a table element without attributes: such text is inert
whatever tree a browser makes of it. Anything else takes the long way.
"""

from __future__ import annotations

import re

_SHEET = """<style scoped>
    .dataframe tbody tr th:only-of-type {
        vertical-align: middle;
    }

    .dataframe tbody tr th {
        vertical-align: top;
    }

    .dataframe thead th {
        text-align: right;
    }
</style>
"""
_START = "<div>\n" + _SHEET + '<table border="1" class="dataframe">\n'
_END = re.compile(r"</table>\n(?:<p>[0-9]+ rows × [0-9]+ columns</p>\n)?</div>\Z")
_HEAD_ROW = '<tr style="text-align: right;">'
_FOREIGN = re.compile(r"<(?!/?(?:td|tr|th|thead|tbody)>)")
_UNPRINTABLE = re.compile("[\x00\ud800-\udfff]")


def inert_body(html: str) -> str | None:
    """`html` itself when it is a plain DataFrame and nothing else, else None."""
    if not html.startswith(_START):
        return None
    end = _END.search(html, max(len(html) - 80, 0))
    if end is None:
        return None
    inner = html[len(_START) : end.start()].replace(_HEAD_ROW, "<tr>", 1)
    if _FOREIGN.search(inner) is not None or _UNPRINTABLE.search(inner) is not None:
        return None
    return html
