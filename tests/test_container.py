"""deploy/Dockerfile: Buildah builds an image from it, and runs a container of that image."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service import ROOT, codes_path, running
from tests.tools import lacking, needs

pytestmark = pytest.mark.separate

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
SECRET = "a-gateway-secret-of-more-than-32-bytes"
AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"
ADMIN = {"X-Gateway-Secret": SECRET, "X-Role": "System Admin"}


class Buildah:
    """Buildah with images and containers of its own, without namespaces and without a registry."""

    def __init__(self, folder: Path) -> None:
        storage = (f"--root={folder}/storage", f"--runroot={folder}/run", "--storage-driver=vfs")
        self.command = (needs("buildah"), *storage)

    def run(self, *arguments: str | Path) -> str:
        """The output of a command."""
        done = subprocess.run(
            [*self.command, *arguments],
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def build(self, name: str, file: Path, context: Path) -> None:
        """Build an image from a Dockerfile; the image that it is based on must be there."""
        options = ("--quiet", "--format=docker", "--pull-never", f"--tag={name}")
        self.run("bud", *options, f"--file={file}", context)


def make_debian(root: Path) -> None:
    """Make a root with Debian and its Python 3.11, which trusts whom this machine trusts."""
    if os.geteuid():
        lacking("this test needs root, for debootstrap")
    debootstrap = needs("debootstrap", "/usr/sbin/debootstrap")
    packages = "--include=python3,python3-venv,ca-certificates"
    done = subprocess.run(
        ["unshare", "--mount", debootstrap, "--variant=minbase", packages, "bookworm", root],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:]
    (root / "usr/bin/python").symlink_to("python3")
    shutil.copy(f"/{AUTHORITIES}", root / AUTHORITIES)


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """Buildah with the image `barring`. Debian is in the place of the image of Python."""
    folder = tmp_path_factory.mktemp("buildah")
    made = Buildah(folder)
    make_debian(folder / "debian")
    copy_all = folder / "Dockerfile"
    copy_all.write_text("FROM scratch\nCOPY . /\n")
    made.build("python:3.11-slim", copy_all, folder / "debian")
    made.build("barring", DOCKERFILE, ROOT)
    yield made
    made.run("rm", "--all")
    shutil.rmtree(folder)


def test_image_serves_and_keeps_its_codes(buildah: Buildah, tmp_path: Path) -> None:
    """A container serves as the Dockerfile says: as its user, and with its data in the volume."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    os.chown(secret, 10001, 10001)
    image = json.loads(buildah.run("inspect", "--type=image", "barring"))["Docker"]["config"]
    assert "BARRING_BIND=0.0.0.0:8000" in image["Env"]
    assert list(image["Volumes"]) == ["/var/lib/barring"]
    container = buildah.run("from", "--pull-never", "barring")
    enter = ("run", "--isolation=chroot", f"--volume={secret}:/run/gateway-secret")
    program = (container, "--", *image["Entrypoint"], *image["Cmd"])
    command = [*buildah.command, *enter, "--env=BARRING_BIND=0.0.0.0:0", *program]
    for stored in ([], ["4711"]):
        with running(tmp_path, command=command) as service:
            with httpx.Client(base_url=service.url, headers=ADMIN) as client:
                codes = client.get(codes_path()).json()["authCodes"]
                assert [code["code"] for code in codes] == stored
                client.post(codes_path(), json={"code": "4711"})
                assert client.get("/docs/").status_code == 200
            kind, *probe = image["Healthcheck"]["Test"]
            assert kind == "CMD"
            probe = [part.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}") for part in probe]
            buildah.run("run", "--isolation=chroot", container, "--", *probe)
            # As an engine does; Buildah does not pass the signal on.
            os.kill(int(service.await_log(r"Listening at: \S+ \((\d+)\)")[1]), signal.SIGTERM)
            assert service.process.wait(timeout=45) == 0
    owner = ("stat", "--format=%u %a", "/var/lib/barring/barring.sqlite3")
    assert buildah.run("run", "--isolation=chroot", container, "--", *owner) == "10001 600"
    with pytest.raises(AssertionError, match="URLError"):
        buildah.run("run", "--isolation=chroot", container, "--", *probe)
