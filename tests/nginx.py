"""Runs the real nginx, with the configuration that is shipped or with another."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.postgres import free_port
from tests.service import ROOT
from tests.test_tls import certificate
from tests.tools import needs
from tests.waiting import await_that

SECRET = "gateway-secret-".ljust(40, "0")
PASSWORD = "correct horse"


def answers(port: int) -> bool:
    """Whether anybody listens at a TCP port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main_file(folder: Path, http: str) -> Path:
    """A file with this configuration of HTTP, for an nginx that writes to `folder` alone."""
    main = folder / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main.write_text(
        f"daemon off; user root; pid {folder}/pid; error_log {folder}/main.log emerg;\n"
        f"events {{}}\nhttp {{\n{temporary}{http}\n}}\n"
    )
    return main


def shipped(folder: Path, port: int, service_port: int) -> str:
    """The shipped configuration with its places moved to this test's, and what it needs there."""
    needs("openssl")
    certificate(folder)
    crypt = subprocess.run(
        ["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True
    ).stdout
    users = ("anna", "provisioning", "stranger", "Anna", "PROVISIONING")
    (folder / "users").write_text("".join(f"{user}:{crypt}" for user in users))
    (folder / "secret.conf").write_text(f'proxy_set_header X-Gateway-Secret "{SECRET}";\n')
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    moved = text.replace("/etc/barring/", f"{folder}/").replace("/var/log/nginx/", f"{folder}/")
    moved = moved.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    return moved.replace("127.0.0.1:8000", f"127.0.0.1:{service_port}")


@contextmanager
def nginx(folder: Path, http: str, port: int) -> Iterator[None]:
    """A running nginx with this configuration of HTTP, which listens at the port."""
    program = needs("nginx", "/usr/sbin/nginx")
    command = [program, "-c", str(main_file(folder, http))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        await_that(lambda: answers(port), 10)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def under_prefix(folder: Path, prefix: str, port: int, *, stripped: bool) -> Iterator[str]:
    """The URL of an nginx that serves what listens at the port under a prefix, beside other things.

    If the prefix is `stripped`, nginx passes the rest of the path on, otherwise all of it.
    """
    listen, rest = free_port(), "/" * stripped
    http = f"""
        access_log off;
        server {{
            listen 127.0.0.1:{listen};
            location {prefix}/ {{ proxy_pass http://127.0.0.1:{port}{rest}; }}
            location / {{ return 404 "Something else."; }}
        }}"""
    with nginx(folder, http, listen):
        yield f"http://127.0.0.1:{listen}"
