"""Asking other sites without being led astray: by HTTP, to public addresses alone, within limits.

httpcore (the engine of httpx) lets us choose the address that is connected to, after it was looked at, so a
name that answers differently the second time gains nothing, and ends all of an exchange at one deadline.
"""

import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Collection
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import httpcore
from django.conf import settings

REDIRECTS = 3
LONGEST_WAIT_S = 24 * 3600
_PORTS = {"https": 443, "http": 80}
_MOVED = {301, 302, 303, 307, 308}
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv6 that a gateway turns into any IPv4


class Unanswered(Exception):
    """No answer that could be used. The message is a sentence; `wait_s`, when the site said to wait."""

    def __init__(self, sentence: str, wait_s: float = 0) -> None:
        super().__init__(sentence)
        self.wait_s = wait_s


class Forbidden(Unanswered):
    """An address that we do not ask, whoever sent us there."""


@dataclass(frozen=True)
class Answer:
    """Header names are lower case. `body` goes no further than was asked for."""

    status: int
    headers: dict[str, str]
    body: bytes
    address: str

    @property
    def wait_s(self) -> float:
        """What its Retry-After asks for, in seconds or as a date; 0 when it has none."""
        said = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}", said):
            return min(float(said), LONGEST_WAIT_S)
        try:
            left = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0
        return min(max(left, 0), LONGEST_WAIT_S)


def fetch(
    address: str,
    *,
    method: str = "GET",
    hosts: Collection[str] | None = None,
    most_bytes: int = 0,
    accept: str = "*/*",
) -> Answer:
    """One answer after few redirects, each checked like the first address; raises Unanswered.

    With `hosts`, only those, and by https. More than `most_bytes` is a fault; 0 leaves the body unread.
    """
    deadline = time.monotonic() + settings.LOOKUPS.timeout_s
    for _ in range(REDIRECTS + 1):
        _check(address, hosts)
        answer = _exchange(method, address, deadline, most_bytes, accept)
        target = answer.headers.get("location")
        if answer.status not in _MOVED or not target:
            return answer
        address = _joined(address, target)
    raise Unanswered(f"{_host(address)} sent us from one address to the next more than {REDIRECTS} times.")


def resolve(host: str, port: int) -> list[str]:
    """The addresses that a name has now."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def public_addresses(host: str, port: int) -> list[str]:
    """Where the name leads, all of it public; raises Forbidden when any of it is not."""
    try:
        found = resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise Unanswered(f"No address is known for the name {host}.") from error
    if (host, port) not in settings.LOOKUPS.unguarded and not all(map(_is_public, found)):
        raise Forbidden(f"{host} leads to an address that is not public, and was not asked.")
    return found


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped
        if inner is None and (found.sixtofour or found.teredo or found in _TRANSLATED):
            return False
        found = inner or found
    return found.is_global and not found.is_multicast and not found.is_reserved


def _check(address: str, hosts: Collection[str] | None) -> None:
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise Forbidden("It is no web address.") from error
    host = parts.hostname or ""
    if (host, port) in settings.LOOKUPS.unguarded:
        return
    if parts.scheme not in _PORTS or port != _PORTS[parts.scheme] or not host or parts.username is not None:
        raise Forbidden("Only plain addresses with https:// or http:// on their usual ports are asked.")
    if hosts is not None and (host not in hosts or parts.scheme != "https"):
        raise Forbidden(f"We were sent on to {host[:100]}, which is not the site that was asked.")


def _exchange(method: str, address: str, deadline: float, most_bytes: int, accept: str) -> Answer:
    host = _host(address)
    headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": _user_agent()}
    try:
        with (
            httpcore.ConnectionPool(_tls(), network_backend=_Public(deadline)) as pool,
            pool.stream(method, _spelled(address), headers=headers) as response,
        ):
            found = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
            }
            body = _read(response, found, host, most_bytes) if most_bytes and response.status == 200 else b""
    except httpcore.TimeoutException as error:
        raise Unanswered(f"{host} did not answer within {settings.LOOKUPS.timeout_s:g} s.") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        raise Unanswered(
            f"The connection to {host} failed: {str(error)[:200] or type(error).__name__}."
        ) from error
    return Answer(response.status, found, body, address)


def _read(response: httpcore.Response, headers: dict[str, str], host: str, most_bytes: int) -> bytes:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Unanswered(f"{host} answered in an encoding that was not asked for.")
    body = bytearray()
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > most_bytes:
            raise Unanswered(f"The answer of {host} is larger than {most_bytes / 2**20:g} MB.")
    return bytes(body)


class _Public(httpcore.NetworkBackend):
    """Connects to public addresses, and no longer than until the deadline."""

    def __init__(self, deadline: float) -> None:
        self.deadline, self.real = deadline, httpcore.SyncBackend()

    def connect_tcp(self, host: str, port: int, *_: Any, **options: Any) -> httpcore.NetworkStream:
        fault: Exception = httpcore.ConnectError("it has no address")
        for address in public_addresses(host, port):
            try:
                left = _left(self.deadline)
                stream = self.real.connect_tcp(
                    address, port, left, socket_options=options.get("socket_options")
                )
                return _Timed(stream, self.deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault


class _Timed(httpcore.NetworkStream):
    """A connection whose every read and write ends at the deadline, so that drops by drops are no way out."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self.stream, self.deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _left(self.deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _left(self.deadline))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(
            self.stream.start_tls(ssl_context, server_hostname, _left(self.deadline)), self.deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)

    def close(self) -> None:
        self.stream.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is over")
    return left


@cache
def _tls() -> ssl.SSLContext:
    return httpcore.default_ssl_context()


def _user_agent() -> str:
    return f"Spectrum/0.1 (mailto:{settings.LOOKUPS.contact})"


def _host(address: str) -> str:
    return (urlsplit(address).hostname or "the site")[:100]


def _joined(address: str, target: str) -> str:
    try:
        return urljoin(address, target)
    except ValueError as error:
        raise Forbidden(f"{_host(address)} sent us on to what is no web address.") from error


def _spelled(address: str) -> str:
    """Host and path in the letters that HTTP allows; raises ValueError for a host that has none."""
    parts = urlsplit(address)
    host = (parts.hostname or "").encode("idna").decode()
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    path, query = (quote(text, safe="/%:=&?~+!$,;'@()*[]") for text in (parts.path or "/", parts.query))
    return urlunsplit((parts.scheme, host + port, path, query, ""))
