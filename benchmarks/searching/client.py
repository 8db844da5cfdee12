"""Keep-alive clients on bare sockets, in a process of their own, so that their cost is not the server's.

A job comes as JSON on standard input; [number, ms, ms to the first byte, status, bytes, timing] go back.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

LIMIT_S = 30


class Connection:
    """One HTTP/1.1 connection, opened again when it was lost."""

    def __init__(self, port):
        self.port, self.socket, self.rest = port, None, b""

    def ask(self, path, headers, whole=True, keep=False):
        """(ms, ms to the first byte of the body, status, bytes of the body, Server-Timing[, body])."""
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers)]
        self.open()
        begun = time.perf_counter()
        try:
            self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
            head = self._until(b"\r\n\r\n").decode("latin-1")
            while not self.rest:
                self._more()
            first = time.perf_counter()
            body = self._body(head.lower()) if whole else b""
        except (OSError, ValueError):
            self.close()
            return 1e3 * (time.perf_counter() - begun), 0.0, 0, 0, ""
        end = time.perf_counter()
        if not whole:
            self.close()
        timing = next(
            (li[14:].strip() for li in head.split("\r\n") if li.lower().startswith("server-timing:")), ""
        )
        answer = 1e3 * (end - begun), 1e3 * (first - begun), int(head[9:12]), len(body), timing
        return (*answer, body.decode(errors="replace")) if keep else answer

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket, self.rest = None, b""

    def open(self):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def _more(self):
        if not (got := self.socket.recv(262_144)):
            raise OSError("The server closed the connection.")
        self.rest += got

    def _until(self, mark):
        while mark not in self.rest:
            self._more()
        found, _, self.rest = self.rest.partition(mark)
        return found

    def _exactly(self, size):
        while len(self.rest) < size:
            self._more()
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

    def _body(self, head):
        if "content-length:" in head:
            return self._exactly(int(head.split("content-length:")[1].split("\r\n")[0]))
        body = b""
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            body += self._exactly(size)
            self._exactly(2)
        self._until(b"\r\n")
        return body


def work(port, jobs, headers, end, answers):
    connection = Connection(port)
    for number, path in jobs:
        if time.perf_counter() > end:
            break
        answers.append((number, *connection.ask(path, headers)))
    connection.close()


class Shared:
    """An iterator that several threads take from."""

    def __init__(self, items):
        self.items, self.lock = iter(items), threading.Lock()

    def __iter__(self):
        return self

    def __next__(self):
        with self.lock:
            return next(self.items)


def load(port, paths, clients, seconds, headers):
    """Answers of `clients` clients that share the paths until all are asked or the time is over."""
    job = {"port": port, "paths": paths, "clients": clients, "seconds": seconds, "headers": headers}
    command = [sys.executable, str(Path(__file__))]
    done = subprocess.run(command, input=json.dumps(job), text=True, capture_output=True, check=True)
    return json.loads(done.stdout)


def main():
    job = json.load(sys.stdin)
    jobs, answers = Shared(enumerate(job["paths"])), []
    begun = time.perf_counter()
    given = job["port"], jobs, job["headers"], begun + job["seconds"], answers
    threads = [threading.Thread(target=work, args=given) for _ in range(job["clients"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump({"answers": answers, "seconds": time.perf_counter() - begun}, sys.stdout)


if __name__ == "__main__":
    main()
