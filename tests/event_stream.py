"""A reader of server-sent events on a plain socket: what a browser's EventSource does, for many at once."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

LONGEST_LINE = 2**22


@dataclass(frozen=True)
class Event:
    name: str
    data: str
    id: str
    raw: bytes


@asynccontextmanager
async def opened(port, path, **headers):
    """(status, head, chunks of the body as they come) of a GET that is held open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LONGEST_LINE)
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    try:
        writer.write("\r\n".join([*lines, "\r\n"]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        yield int(head.split()[1]), head.lower(), _chunks(reader)
    finally:
        writer.close()


async def events(chunks):
    """The events of a body, heartbeats left out, until the server ends it."""
    held = b""
    async for chunk in chunks:
        *blocks, held = (held + chunk).split(b"\n\n")
        for block in blocks:
            lines = [line.partition(": ") for line in block.decode().split("\n")]
            fields = {name: "\n".join(v for n, _, v in lines if n == name) for name, _, _ in lines}
            if "data" in fields:
                yield Event(fields["event"], fields["data"], fields.get("id", ""), block)


async def _chunks(reader):
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
