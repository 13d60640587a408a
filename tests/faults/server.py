"""A server to kill: in a process group of its own, and started again over the same database."""

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.service import ROOT, Service, environment
from tests.waiting import await_that


class Server:
    """gunicorn with the service in `folder`; `options` are gunicorn's. Enter it to start it."""

    def __init__(
        self, folder: Path, *options: str, application: str = "wsgi:app", **settings: str
    ) -> None:
        self.folder = folder
        self.command = [sys.executable, "-m", "gunicorn", *options, application]
        self.settings = {"BARRING_WORKERS": "2", **settings}
        self.killed: set[int] = set()
        self._lifelines: list[int] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for lifeline in self._lifelines:
            os.close(lifeline)

    def start(self) -> None:
        """Start it, after the first time at the port that it had."""
        # Each process of the server holds the other end, so that here it ends with the last one.
        lifeline, held = os.pipe()
        self._lifelines.append(lifeline)
        log = self.folder / f"log{len(self._lifelines)}"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=environment(self.folder, **self.settings),
                stderr=stderr,
                start_new_session=True,
                pass_fds=[held],
            )
        os.close(held)
        self.service = Service(process, log, self.folder / "codes.sqlite3")
        self.service.url = self.service.await_log(r"Listening at: (http://[^ ]+)")[1]
        self.settings["BARRING_BIND"] = f"127.0.0.1:{self.service.port}"
        self.await_workers()

    def stop(self) -> None:
        """SIGTERM, unless it has ended, and wait for its end."""
        if self.service.process.poll() is None:
            self.service.process.send_signal(signal.SIGTERM)
        self.service.process.wait(timeout=40)

    def workers(self) -> list[int]:
        """The process ids of the workers that have started and were not killed, oldest first."""
        booted = re.findall(r"Booting worker with pid: (\d+)", self.service.log_file.read_text())
        return [pid for pid in map(int, booted) if pid not in self.killed]

    def await_workers(self, more: int = 0) -> None:
        """Return once all workers run, and so many more have started."""
        enough = int(self.settings["BARRING_WORKERS"]) + more
        await_that(lambda: len(self.workers()) >= enough, 20)

    def kill_worker(self, pid: int) -> None:
        """kill -9 of one worker."""
        self.killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    def kill_master(self) -> None:
        """kill -9 of the master alone."""
        self.service.process.kill()
        self.service.process.wait()

    def kill(self) -> None:
        """kill -9 of the master and all its workers at once."""
        os.killpg(self.service.process.pid, signal.SIGKILL)
        self.service.process.wait()
        assert self.ended(5)

    def ended(self, seconds: float, start: int = -1) -> bool:
        """Whether the last process of a start, by default the last start, ends in this time."""
        return bool(select.select([self._lifelines[start]], [], [], seconds)[0])
