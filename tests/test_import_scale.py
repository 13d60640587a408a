"""`barring import` with many rows: killed in the middle, beside a service, and in memory."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, repeat
from pathlib import Path

import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage.sqlite.engine import SQLiteStorage
from tests.command import BARRING, failure, succeed
from tests.service import ROOT, codes_path, environment, running
from tests.tools import lacking, needs

pytestmark = pytest.mark.long

ROWS = 200_000


def many(folder: Path, rows: int = ROWS) -> str:
    """The path of a file with so many rows, of many users, in an order of its own."""
    file = folder / f"{rows}.csv"
    with file.open("w") as stream:
        stream.write("tenant,group,user,code,description\n")
        for number in range(rows):
            owner = f"tenant{number % 10},group{number // 10 % 10},user{number % 997}@example.com"
            stream.write(f"{owner},{number:08},Description of {number}\n")
    return str(file)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of 200,000 rows."""
    return many(tmp_path_factory.mktemp("many"))


def size(path: Path) -> int:
    """How long a file is, or 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("options", [[], ["--on-existing", "replace", "--errors", "rejected.csv"]])
def test_killed_import_leaves_nothing(tmp_path: Path, file: str, options: list[str]) -> None:
    """Killed while it reads or while it stores, an import has stored nothing, or then all."""
    storage = SQLiteStorage(str(tmp_path / "codes.sqlite3"))
    storage.prepare()
    storage.add(Owner("a", "b", "c"), [Code("01", "")])
    storage.close()
    log = tmp_path / "codes.sqlite3-wal"
    # After so many seconds, or once so many bytes are in the log of what is stored.
    moments: list[Callable[[float], bool]] = [
        lambda seconds: seconds > 0.3,
        lambda seconds: seconds > 1,
        lambda seconds: size(log) > 0,
        lambda seconds: size(log) > 1_000_000,
        lambda seconds: size(log) > 10_000_000,
    ]
    for moment in moments:
        options = [str(tmp_path / o) if o.endswith(".csv") else o for o in options]
        process = subprocess.Popen(
            [*BARRING, "import", *options, file],
            cwd=ROOT,
            env=environment(tmp_path),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        start = time.monotonic()
        while process.poll() is None and not moment(time.monotonic() - start):
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert storage.check()["codes"] in (1, ROWS + 1)
        storage.close()
        left = {path.name for path in tmp_path.iterdir()} - {"rejected.csv"}
        assert {name for name in left if not name.startswith(".rejected.csv.")} <= {
            "codes.sqlite3",
            "codes.sqlite3-lock",
        }
    assert succeed(tmp_path, "import", "--on-existing", "skip", file)
    assert storage.count() == ROWS + 1


def test_service_goes_on_during_an_import(
    tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Meanwhile reads are answered, and each write is done, or told to come again."""
    calls: list[tuple[str, float, int]] = []
    stop = threading.Event()

    def call(method: str, bodies: Iterator[object]) -> None:
        with service.client() as client:
            while not stop.is_set():
                start = time.monotonic()
                answer = client.request(method, codes_path(), json=next(bodies))
                calls.append((method, time.monotonic() - start, answer.status_code))
                assert answer.status_code != 503 or int(answer.headers["Retry-After"]) > 0

    with running(tmp_path) as service, ThreadPoolExecutor() as pool:
        codes = ({"code": f"{number}-x"} for number in count())
        callers = [pool.submit(call, "GET", repeat(None)), pool.submit(call, "POST", codes)]
        try:
            assert succeed(tmp_path, "import", file) == f"{ROWS} codes stored\n"
            assert f"{ROWS} rows rejected" in failure(tmp_path, "import", file)
            assert succeed(tmp_path, "import", "--delete", file) == f"{ROWS} codes removed\n"
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    assert {status for method, _, status in calls if method == "GET"} == {200}
    assert {status for method, _, status in calls if method == "POST"} <= {201, 503}
    stored = SQLiteStorage(str(service.database)).count()
    assert stored == sum(status == 201 for _, _, status in calls)
    with capsys.disabled():
        for method in ("GET", "POST"):
            times = [seconds for name, seconds, _ in calls if name == method]
            print(f"\n{len(times)} x {method}, the longest {max(times):.2f} s", end="")


def peak(folder: Path, *arguments: str) -> int:
    """The most memory, in MB, that a command that succeeds takes."""
    script = (
        "import sys; from barring.cli import main\n"
        "try: main(prog_name='barring')\n"
        "finally: print(open('/proc/self/status').read(), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"VmHWM:\s+(\d+) kB", done.stderr)
    assert found
    return int(found[1]) // 1024


def test_memory_stays_the_same(tmp_path: Path, file: str) -> None:
    """Ten times as many rows take no more memory to store, replace, export and remove.

    Beyond the 16 MB, that is, by which the engine spares its disk.
    """
    if not Path("/proc/self/status").exists():
        lacking("this test reads /proc")
    small = peak(tmp_path, "import", many(tmp_path, ROWS // 10))
    replace = ["import", "--on-existing", "replace", file]
    export = ["export", str(tmp_path / "export.csv")]
    for arguments in (replace, replace, export, ["import", "--delete", file]):
        assert peak(tmp_path, *arguments) < small + 16 + 8, arguments


def test_full_disk_stores_nothing(tmp_path: Path, file: str) -> None:
    """Where the rows that are read find no room, an import ends in one line and has no effect."""
    needs("prlimit")
    assert succeed(tmp_path, "import", "-", stdin="tenant,group,user,code\na,b,c,01\n")
    done = subprocess.run(
        ["prlimit", "--fsize=5000000", *BARRING, "import", file],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("barring: ")
    assert done.stderr.count("\n") == 1
    assert SQLiteStorage(str(tmp_path / "codes.sqlite3")).count() == 1
