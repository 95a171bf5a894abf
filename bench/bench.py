"""Measures the server beside its peers, in one run on one machine: run by `make bench`.

Ratios are what counts: absolute figures belong to the machine. Only one stack runs at a time.
Stacks whose figures are close to each other take turns, each started anew.
"""

from __future__ import annotations

import argparse
import itertools
import math
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import files
import image
import load
import mirror
import nginx
import results
import stacks
from measurements import SCALES, Measurements, Scale
from process import BenchError, settle
from stacks import Content, Devpi, Ours, Pypiserver, Server, Stack

READS = ("page", "download")
CURVES = (*READS, "unknown", "upload")
WEB = ("web page", "kB of the start page", "uploads by turns")
"""What is measured of the pages for people."""
STARTS = ("", "static/style.css", "static/script.js", "static/icon.svg", "search.json")
"""What a browser loads that shows the start page and searches."""

LONG = 0.1
"""Seconds: a server that takes longer for one request is not warmed up with more."""

Plan = list[tuple[Stack, tuple[str, ...]]]
"""Each stack with what is measured of it."""


class Bench:
    """One run at one scale, in a folder of its own."""

    def __init__(self, scale: Scale, folder: Path) -> None:
        self._scale = scale
        self._folder = folder
        self._library = folder / "library"
        self._found = Measurements()
        self._series = itertools.count()

    def run(self) -> Measurements:
        """Measure everything."""
        plan = self._prepare()
        for stack, what in plan:
            self._measure(stack, what)
        self._rebuild(next(stack for stack, what in plan if "uv" in what and stack.name == "ours"))
        mirror.measure(self._found, self._folder, self._library, self._scale.installs)
        return self._found

    def run_mirror(self) -> Measurements:
        """Measure the mirror alone."""
        files.write(self._library, mirror.PRIVATE)
        mirror.measure(self._found, self._folder, self._library, self._scale.installs)
        return self._found

    def _rebuild(self, ours: Stack) -> None:
        try:
            with ours.running() as server:
                seconds = image.Image(self._folder / "client", server).rebuild()
        except BenchError as error:
            # For example without Docker, or without the base image.
            self._found.skip(f"the rebuild of an image, as {error}")
        else:
            self._found.note(ours, "seconds to rebuild", seconds)

    def _prepare(self) -> Plan:
        """Make all distributions and stacks; return what is measured of each."""
        scale, folder = self._scale, self._folder
        print(f"Making {scale.sizes[-1]:,} distributions and an index of each size", flush=True)
        library, certificates = self._library, folder / "certificates"
        files.write(library, scale.sizes[-1])
        stacks.certificate(certificates)
        answers = {"template": "server", "ci": "none"}
        plain = stacks.render(folder / "plain", {**answers, "https": "none"})
        secure = stacks.render(folder / "secure", {**answers, "https": "certificate"})

        # Stacks that are compared run next to each other, because machines change their speed.
        grown: Plan = []
        others: Plan = []
        for size in scale.sizes:
            compared = size == scale.compared
            installs = load.INSTALLERS if size == scale.installed else ()
            server = Ours(plain / "private_pypi", folder / f"ours-{size}", library, size)
            ours = server.stack("ours", plain / "gateway" / "Caddyfile")
            self._found.note(ours, "indexed a second", server.indexed_per_second)
            web = WEB if compared else ()
            grown.append((ours, (*CURVES, *web, "by hand", *installs)))
            peer = Pypiserver(folder / f"pypiserver-{size}", library, size)
            others.append((peer.stack("classic"), (*CURVES, *installs)))
            if compared or installs:
                gunicorn = peer.stack("gunicorn", "--server", "gunicorn")
                others.append((gunicorn, (*(READS if compared else ()), *installs)))
            if compared:
                tls = server.stack("ours, TLS", secure / "gateway" / "Caddyfile", certificates)
                same = self._same_bytes(ours, tls, certificates)
        devpi = Devpi(folder / "devpi")
        others.append((devpi.stack("devpi", results.DEVPI), READS))
        others.append((devpi.stack("devpi", results.DEVPI_TREE), load.INSTALLERS))
        if not load.wrk():
            self._found.skip("every rate, as wrk is not installed: apt-get install wrk")
        ends: Plan = [(grown[0][0], CURVES), (others[0][0], ("upload",)), (grown[-1][0], CURVES)]
        grown.sort(key=lambda entry: entry[0].size == scale.compared)
        close = [(grown[-1][0], (*READS, "unknown", *WEB)), same[0], *ends]
        return grown + same + close * scale.more_turns + others

    def _same_bytes(self, ours: Stack, tls: Stack, certificates: Path) -> Plan:
        with ours.running() as server:
            server.find(ours.size)
            content = Content(self._folder / "content", server)
        plan: Plan = [(content.caddy("Caddy file_server"), READS), (tls, READS)]
        if nginx.program():
            plan.append((content.nginx("nginx, TLS", certificates), READS))
            plan.append((content.nginx("nginx"), READS))
        else:
            self._found.skip("nginx, which is not installed: apt-get install nginx-light")
        return plan

    def _measure(self, stack: Stack, what: tuple[str, ...]) -> None:
        with stack.running() as server:
            if not server.paths:
                server.find(stack.size)
            for metric in what:
                if metric in load.INSTALLERS:
                    self._installs(stack, server, metric)
                    continue
                if metric == "by hand" and server.data:
                    figure = load.by_hand(server.client(), server.index, server.data)
                elif metric == "upload":
                    figure = self._uploads(stack, server)
                elif metric == "uploads by turns":
                    self._uploads_by_turns(stack, server)
                    continue
                elif metric == "kB of the start page":
                    client = server.client()
                    figure = sum(client.transferred(f"/{path}") for path in STARTS) / 1000
                elif load.wrk():
                    figure = self._rate(server, server.paths[metric])
                else:
                    continue
                self._found.note(stack, metric, figure)
            if server.started:
                self._found.note(stack, "seconds to start", server.started)
            for process in server.processes:
                self._found.note(stack, f"MB of {process.name}", process.memory() / 2**20)

    def _installs(self, stack: Stack, server: Server, program: str) -> None:
        # The first of all pays for what the disk has not read yet: the median leaves it out.
        for _ in range(self._scale.more_turns + 1):
            self._found.note(stack, program, load.install(program, server.index_url()))

    def _rate(self, server: Server, paths: list[str]) -> float:
        client = server.client()
        for path in paths:
            once = load.timed(partial(client.request, "GET", path))
            if once > LONG:
                break
        # A slow server gets the time to answer on every connection.
        seconds = max(self._scale.seconds, math.ceil(once * load.CONNECTIONS * 1.25))
        return load.requests_per_second(server.url, paths, client.headers, seconds)

    def _uploads_by_turns(self, stack: Stack, server: Server) -> None:
        """Measure uploads while the pages for people are written, and while they are not."""
        for _ in range(2 * self._scale.more_turns + 1):
            self._found.note(stack, "upload with pages", self._uploads(stack, server))
            with server.processes[0].paused("web"):
                self._found.note(stack, "upload without pages", self._uploads(stack, server))
            settle(server.processes)

    def _uploads(self, stack: Stack, server: Server) -> float:
        client, projects = server.client(), stack.size // files.VERSIONS
        series = next(self._series)
        seconds = load.uploads(client, "/", projects, self._scale.uploads, series)
        # An upload counts only if a client that installs now sees it.
        client.link(f"{server.index}{files.project(0)}/", files.file_name(0, f"2.{series}.0"))
        return seconds * 1000


def main() -> int:
    """Run the benchmark and write its results, if it is all of it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--rows", choices=("all", "mirror"), default="all")
    options = parser.parse_args()
    scale = SCALES[options.scale]
    if not sys.platform.startswith("linux"):
        print("error: the benchmark reads /proc: run it on Linux", file=sys.stderr)
        return 1
    # An exit stops the servers that were started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            bench = Bench(scale, Path(folder))
            found = bench.run() if options.rows == "all" else bench.run_mirror()
    except (BenchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: nothing is running any more, no results were written", file=sys.stderr)
        return 130
    if options.rows == "all":
        results.write(found, options.scale, (time.monotonic() - started) / 60)
        print(results.table(results.rows(found, scale)))
    else:
        print(results.table(results.of_mirror(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
