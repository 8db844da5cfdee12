"""What 200 people who watch one run cost the site; the baseline is the same people polling each second.

A whole site in a throwaway folder, a run fed each second, watchers on loopback sockets, and somebody who
reads another page meanwhile. The delay is from a heartbeat's commit to a watcher's having received its line.
"""

import asyncio
import atexit
import http.client
import json
import os
import re
import shutil
import time
from concurrent.futures import ProcessPoolExecutor

import psutil
from throwaway import CHECKOUT, VAR, report

from tests.event_stream import events, opened
from tests.feeder import feeding
from tests.live import running_stack

WATCHERS = int(os.environ.get("WATCHERS", 200))
LASTS_S, SETTLE_S = 20, 4
PAGE = "/papers"


async def told(port, run, number, received):
    """A watcher by server-sent events."""
    async with opened(port, f"/runs/{run}/events") as (_, _, chunks):
        async for event in events(chunks):
            if event.name == "log":
                note(json.loads(event.data)["text"], received)


async def asking(port, run, number, received):
    """A watcher by polling: what changes, and the log, each second on one connection."""
    place, turn = "0:0", number / WATCHERS
    await asyncio.sleep(turn)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        begun = time.time()
        await got(reader, writer, f"/runs/{run}/live")
        page = await got(reader, writer, f"/runs/{run}/log?from={place}")
        place = re.search(r'value="(\d+:\d+)"', page)[1]
        note(page, received)
        await asyncio.sleep(max(0, begun + 1 - time.time()))


async def got(reader, writer, path):
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nHX-Request: true\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    return (await reader.readexactly(int(re.search(r"content-length: (\d+)", head)[1]))).decode()


def note(text, received):
    received += [(int(line), time.time()) for line in re.findall(r"line (\d+) ", text)]


def read_the_page(port, seconds):
    """Seconds that each of many readings of an ordinary page takes, from a process of its own."""
    connection, took, end = http.client.HTTPConnection("127.0.0.1", port), [], time.time() + seconds
    while time.time() < end:
        begun = time.perf_counter()
        connection.request("GET", PAGE)
        connection.getresponse().read()
        took.append(time.perf_counter() - begun)
        time.sleep(0.1)
    return took


async def feed(feeder, seconds, first):
    """A heartbeat each second, with a line and a point of the trace; when each line was committed."""
    committed = {}
    for number in range(first, first + seconds):
        begun, t = time.time(), number - first
        point = {
            "t": t,
            "gpu": 0,
            "memory_mb": 900.5 + t,
            "power_w": 300,
            "utilisation": t,
            "sm_clock_mhz": 1980,
        }
        news = {"log": f"line {number} of the log\n", "trace": [point], "progress": t / seconds}
        await asyncio.to_thread(feeder.say, **news)
        committed[number] = time.time()
        await asyncio.sleep(max(0, begun + 1 - time.time()))
    return committed


def cpu_s(stack, name):
    """Processor seconds so far of the stack's processes of that name."""
    found = {process.pid: process for process in stack.processes() if name in " ".join(process.cmdline())}
    return sum(sum(process.cpu_times()[:2]) for process in found.values() if psutil.pid_exists(process.pid))


async def measure(title, stack, feeder, run, watch, readers, first):
    """Let everybody watch, and print what they saw and what it cost."""
    received, count = [], WATCHERS if watch else 0
    watchers = [asyncio.create_task(watch(stack.port, run, number, received)) for number in range(count)]
    await asyncio.sleep(SETTLE_S)
    names = ("granian", "postgres")
    before, begun = [cpu_s(stack, name) for name in names], time.time()
    page = asyncio.get_running_loop().run_in_executor(readers, read_the_page, stack.port, LASTS_S)
    committed, took = await asyncio.gather(feed(feeder, LASTS_S, first), page)
    shares = [(cpu_s(stack, name) - b) / (time.time() - begun) for name, b in zip(names, before, strict=True)]
    alive = sum(not watcher.done() for watcher in watchers)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    delays = [at - committed[number] for number, at in received if number in committed]
    print(f"{title}: {alive} watchers to the end, {len(delays)} lines received")
    if delays:
        report("  delay of a line", delays)
    report(f"  {PAGE} meanwhile", took)
    print(f"  web {shares[0]:.0%} of a core, PostgreSQL {shares[1]:.0%}", flush=True)


async def measure_all(stack, feeder, run):
    with ProcessPoolExecutor(1) as readers:
        read_the_page(stack.port, 3)
        await measure("nobody watches", stack, feeder, run, None, readers, 1000)
        await measure("by events", stack, feeder, run, told, readers, 2000)
        await measure("by polling (baseline)", stack, feeder, run, asking, readers, 3000)


def main():
    atexit.register(shutil.rmtree, VAR, ignore_errors=True)
    with running_stack(CHECKOUT, VAR / "site") as stack, feeding(stack) as feeder:
        run = feeder.queue()
        feeder.claim()
        asyncio.run(measure_all(stack, feeder, run))


if __name__ == "__main__":
    main()
