"""The single binary: alone on a machine without Python, killed, stopped, and fast enough."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from barring import __version__
from tests.binary import BINARY, SERVE
from tests.faults.mounts import small
from tests.service import END_USER, ROOT, Service, codes_path, environment, running
from tests.test_tls import certificate
from tests.tools import lacking, needs

pytestmark = pytest.mark.long

GLIBC = ("libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1")
"""What belongs to the C library, beside what the binary itself is linked to."""

USER = 1234
"""A user of the new machine, whom no file there names."""


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """Build the binary where it is missing or older than what it is made of."""
    if sys.platform == "linux":
        needs("objcopy")
    done = subprocess.run(["make", "binary"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def fill_with_c_library(root: Path) -> None:
    """Give a root the C library, zlib and /tmp: it has no shell, no /dev, no /proc, no /etc."""
    linked = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout
    libraries = [Path(path) for path in re.findall(r"(/\S+) \(0x", linked)]
    folder = next(path.parent for path in libraries if path.name == "libc.so.6")
    for path in {*libraries, *(folder / name for name in GLIBC)}:
        copy = root / path.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)


def fill_with_debian(root: Path) -> None:
    """Give a root a minimal Debian of this machine's own release."""
    release = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
    done = subprocess.run(
        [
            needs("debootstrap", "/usr/sbin/debootstrap"),
            "--variant=minbase",
            release[1] if release else "stable",
            root,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lacking(f"debootstrap fails: {done.stdout[-300:]}")
    assert not list(root.glob("usr/bin/python*"))


class Machine:
    """A root without Python, and the binary in the home of a user there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home" / "new"
        self.home.mkdir(parents=True)
        shutil.copy(BINARY, self.home)
        user = f"--userspec={USER}:{USER}"
        chroot = needs("chroot", "/usr/sbin/chroot")
        enter = [chroot, user, str(root)]
        if os.geteuid():
            enter = [needs("unshare"), "--map-root-user", chroot, str(root)]
        else:
            os.chown(self.home, USER, USER)
        self.binary = ["env", "-i", "BARRING_BIND=127.0.0.1:0", *enter, "home/new/barring"]

    def barring(self, *arguments: str) -> str:
        """What the binary prints."""
        return subprocess.run(
            [*self.binary, *arguments], capture_output=True, text=True, check=True, timeout=60
        ).stdout


@pytest.fixture(params=[fill_with_c_library, fill_with_debian], ids=["c library", "debian"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A machine with nothing but what every Linux has."""
    if sys.platform != "linux":
        lacking("this test needs Linux")
    root = tmp_path / "root"
    root.mkdir()
    if request.param is fill_with_debian and os.geteuid():
        lacking("this test needs root, for debootstrap")
    request.param(root)
    yield Machine(root)
    shutil.rmtree(root)


def use_every_operation(service: Service) -> None:
    """Create a list and one, list, get, remove a list; one code is left."""
    path = codes_path("acme", "sales", "anna")
    listed = [{"code": "0815", "description": ""}, {"code": "4711", "description": "Zoë"}]
    single = {"code": "fooCode", "description": "Front desk"}
    with service.client() as client:
        assert client.post(path, json={"authCodes": listed}).status_code == 201
        assert client.post(path, json=single).status_code == 201
        assert client.get(path).json() == {"authCodes": [*listed, single]}
        assert client.get(f"{path}4711/", headers=END_USER).json() == listed[1]
        removal = {"authCodes": [{"code": "0815"}]}
        assert client.request("DELETE", path, json=removal).status_code == 200
        assert client.delete(f"{path}fooCode/").status_code == 200


def test_binary_is_all_that_a_machine_needs(machine: Machine, tmp_path: Path) -> None:
    """Copied alone, it serves the API and its page, and its commands work on the same data."""
    assert machine.barring("--version") == f"barring, version {__version__}\n"
    with running(tmp_path, command=[*machine.binary, "serve"]) as service:
        use_every_operation(service)
        with service.client() as client:
            assert client.get("/health/ready").json() == {"status": "ready"}
            assert client.get("/openapi.json").json()["info"]["version"] == __version__
            page = client.get("/docs/").text
            for file in re.findall(r'(?:src|href)="(/docs/[^"]+)"', page):
                assert client.get(file).status_code == 200
        shown = json.loads(machine.barring("list", "--json", "acme", "sales", "anna"))
        assert shown == [{"code": "4711", "description": "Zoë"}]
        assert json.loads(machine.barring("check", "--json"))["integrity"] == "ok"
        assert not list((machine.root / "tmp").rglob("*.sqlite3*"))
    assert service.process.returncode == 0
    assert (machine.home / "data" / "barring.sqlite3").is_file()
    assert list((machine.root / "tmp").iterdir()) == []


def test_binary_keeps_its_data_where_it_is_told(tmp_path: Path) -> None:
    """With BARRING_DATABASE_URL nothing is written beside the binary."""
    copy = shutil.copy(BINARY, tmp_path)
    done = subprocess.run([copy, "add", "a", "b", "c", "4711"], env=environment(tmp_path))
    assert done.returncode == 0
    assert {file.name for file in tmp_path.iterdir()} >= {"barring", "codes.sqlite3"}


def test_error_of_a_noexec_folder_is_documented(tmp_path: Path) -> None:
    """Where nothing may be executed in TMPDIR, it ends with one line, which operate.md explains."""
    with small(tmp_path / "scratch", 100) as scratch:
        subprocess.run(["mount", "-o", "remount,noexec", scratch], check=True)
        done = subprocess.run(
            [BINARY, "--version"],
            env={**os.environ, "TMPDIR": str(scratch)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (127, "", 1)
    error = done.stderr.partition(": ")[2].strip()
    documented = " ".join((ROOT / "docs" / "operate.md").read_text().split())
    assert f"`{error}`" in documented


def test_binary_serves_https_and_metrics(tmp_path: Path) -> None:
    """What a setting asks for is in the binary: TLS, and the metrics of all workers."""
    certificate(tmp_path)
    settings = {
        "BARRING_TLS_CERT_FILE": str(tmp_path / "tls.crt"),
        "BARRING_TLS_KEY_FILE": str(tmp_path / "tls.key"),
        "BARRING_METRICS": "true",
    }
    with running(tmp_path, command=SERVE, **settings) as service:
        assert service.url.startswith("https://")
        answer = httpx.get(f"{service.url}/metrics", verify=False)
        assert "barring_write_lock_wait_seconds_count" in answer.text


def test_binary_speaks_postgres(tmp_path: Path, postgres: str) -> None:
    """Another database needs no more than its URL: the driver is in the binary."""
    with (
        running(tmp_path, command=SERVE, BARRING_DATABASE_URL=postgres) as service,
        service.client() as client,
    ):
        assert client.post(codes_path(), json={"code": "4711"}).status_code == 201
        answer = client.get(codes_path()).json()
        assert answer == {"authCodes": [{"code": "4711", "description": ""}]}


def test_binary_is_small() -> None:
    """The one file has at most 40 MB."""
    assert BINARY.stat().st_size <= 40_000_000


@pytest.mark.alone
def test_binary_starts_quickly(tmp_path: Path) -> None:
    """From the start to the first answer it takes at most 1.5 seconds: the best of five counts."""
    seconds = []
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir()
        start = time.perf_counter()
        with running(folder, command=SERVE) as service:
            assert httpx.get(f"{service.url}/health/ready").status_code == 200
            seconds.append(time.perf_counter() - start)
            service.await_log("Booting worker(?s:.)*Booting worker")
    assert min(seconds) <= 1.5


def gone(group: int, seconds: float = 20) -> bool:
    """Whether no process of a group is left, after some time at most."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of such a death")
def test_killed_launcher_leaves_nobody_at_the_port(tmp_path: Path) -> None:
    """When the process that was started is killed, all that it started end and free the port."""
    with running(tmp_path, command=["setsid", *SERVE]) as service:
        use_every_operation(service)
        service.process.kill()
        service.process.wait()
        assert gone(service.process.pid)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", service.port))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of such a death")
def test_launcher_killed_at_any_time_leaves_nobody(tmp_path: Path) -> None:
    """It may be killed while it still starts: nobody is left to open the port later."""
    for tenths in range(1, 12):
        process = subprocess.Popen(
            SERVE,
            env=environment(tmp_path, TMPDIR=str(tmp_path)),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(tenths / 10)
        process.kill()
        process.wait()
        assert gone(process.pid, 40), f"after {tenths / 10} s"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_stopped_binary_cleans_up(tmp_path: Path, sent: signal.Signals) -> None:
    """It locks what it unpacked, so that no cleaner takes it, and removes it in the end."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with running(tmp_path, command=SERVE, TMPDIR=str(scratch)) as service:
        unpacked = os.open(next(scratch.glob("_MEI*")), os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(unpacked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(unpacked)
        use_every_operation(service)
        service.await_log("Booting worker(?s:.)*Booting worker")
        time.sleep(0.5)
        service.process.send_signal(sent)
        assert service.process.wait(timeout=40) == 0
    assert list(scratch.iterdir()) == []
