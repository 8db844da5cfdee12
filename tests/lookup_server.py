"""A server of recorded answers in a thread, for what asks other sites: by path, or by what a test lays down."""

import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RECORDED = Path(__file__).parent / "data" / "lookup"


class Sites:
    """`answers` holds (status, headers, body) by the beginning of a path; `asked` is what came in."""

    def __init__(self, port):
        self.address, self.port = f"http://127.0.0.1:{port}", port
        self.answers, self.asked, self.agents, self.let_go = {}, [], [], threading.Event()

    def lay(self, path, body=b"", status=200, **headers):
        """`body` is bytes, or the name of a recorded answer."""
        body = (RECORDED / body).read_bytes() if isinstance(body, str) else body
        self.answers[path] = (status, headers, body)

    def settings(self, lookups, **over):
        """settings.LOOKUPS as if this server were all sources."""
        given = {
            "contact": "desk@example.org",
            "timeout_s": 0.4,
            "unguarded": frozenset({("127.0.0.1", self.port)}),
        }
        given["sources"] = dict.fromkeys(lookups.sources, self.address)
        return replace(lookups, **given | over)


@contextmanager
def serving(tls=None):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            sites.asked.append(f"{self.command} {self.path}")
            sites.agents.append(self.headers["User-Agent"])
            found = next((path for path in sites.answers if self.path.startswith(path)), None)
            status, headers, body = sites.answers.get(found, (404, {}, b"Resource not found."))
            if headers.pop("Slow", None):
                sites.let_go.wait(5)
            headers = {"Content-Length": str(len(body))} | {
                k.replace("_", "-"): v for k, v in headers.items()
            }
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass  # those who gave up waiting

    server = Quiet(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    sites = Sites(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield sites
    sites.let_go.set()
    server.shutdown()
    server.server_close()
    thread.join()
