"""The real web server over the benchmark's database: started, asked, weighed, stopped."""

import os
import time
from contextlib import contextmanager, suppress

import psutil
from throwaway import CHECKOUT, VAR

from config import embedded
from config.children import kill_group, last_lines, launch
from config.up import web_command
from searching.client import Connection

FIRST_ANSWER_S = 120


class Site:
    """A running server: its port, when it answered, and the memory of its processes."""

    def __init__(self, port, process):
        self.port, self.process, self.first_answer_s = port, process, None

    def workers(self):
        """Its web processes; the first process of granian only watches them and serves nothing."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def processor_s(self):
        """Processor seconds so far of (its web processes, PostgreSQL)."""
        database = embedded.processes(VAR, "postgres")
        return [sum(sum(each.cpu_times()[:2]) for each in group) for group in (self.workers(), database)]

    def memory(self):
        """(PSS, USS) in MB of the largest web process, and PSS of all of the server."""
        own = [process.memory_full_info() for process in self.workers()]
        largest = max(own, key=lambda info: info.uss)
        watcher = psutil.Process(self.process.pid).memory_full_info()
        return [value / 2**20 for value in (largest.pss, largest.uss, sum(i.pss for i in own) + watcher.pss)]


@contextmanager
def serving(port, workers):
    """The server with so many web processes; all of them are gone afterwards."""
    os.environ |= {"WEB_WORKERS": str(workers), "HOST": "127.0.0.1", "PORT": str(port)}
    os.environ |= {"LOG_LEVEL": "WARNING", "PYTHONPATH": str(CHECKOUT / "benchmarks")}
    log = VAR / "web.log"
    with log.open("ab") as output:
        process = launch(web_command("127.0.0.1", str(port)), VAR, stdout=output, stderr=output)
    site = Site(port, process)
    try:
        begun = time.perf_counter()
        wait_for_answer(site, begun + FIRST_ANSWER_S, log)
        site.first_answer_s = time.perf_counter() - begun
        yield site
    finally:
        process.terminate()
        with suppress(Exception):
            process.wait(timeout=10)
        kill_group(process.pid)
        process.wait()


def wait_for_answer(site, end, log):
    while True:
        with suppress(OSError):
            connection = Connection(site.port)
            *_, status, _, _ = connection.ask("/papers", [])
            connection.close()
            if status == 200:
                return
        if time.perf_counter() > end or site.process.poll() is not None:
            raise SystemExit(f"The web server does not answer. The end of {log}:\n{last_lines(log)}")
        time.sleep(0.01)
