"""HTTPS without a proxy, and the warning where there is neither."""

import datetime
import os
import re
import signal
import ssl
import sys
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from barring.server.tls import sends_secrets_unencrypted, tls_settings
from barring.settings import Settings, SettingsError
from tests.service import END_USER, ROOT, codes_path, running
from tests.waiting import await_that


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that trusts itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "barring")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.DNSName("localhost")
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "tls.crt", folder / "tls.key"
    cert_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert_file, key_file


def test_service_speaks_https(tmp_path: Path) -> None:
    """With a certificate and its key the service answers over TLS, and over nothing else."""
    cert, key = certificate(tmp_path)
    tls = {"BARRING_TLS_CERT_FILE": str(cert), "BARRING_TLS_KEY_FILE": str(key)}
    with running(tmp_path, **tls) as service:
        url = f"https://localhost:{service.port}{codes_path()}"
        trust = ssl.create_default_context(cafile=str(cert))
        answer = httpx.get(url, headers=END_USER, verify=trust)
        assert answer.json() == {"authCodes": []}
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http"), headers=END_USER)
        assert httpx.get(url, headers=END_USER, verify=trust).status_code == 200


def test_request_behind_a_body_is_answered(tmp_path: Path) -> None:
    """What comes in one TLS record with the end of a body is no less a request."""
    cert, key = certificate(tmp_path)
    tls = {"BARRING_TLS_CERT_FILE": str(cert), "BARRING_TLS_KEY_FILE": str(key)}
    items = ",".join(f'{{"code":"{number:05}"}}' for number in range(600))
    body = f'{{"authCodes":[{items}]}}'.encode()
    caller = "HTTP/1.1\r\nHost: localhost\r\nX-Role: Group Admin\r\n"
    post = f"POST {codes_path()} {caller}Content-Type: application/json\r\n"
    with running(tmp_path, **tls) as service:
        trust = ssl.create_default_context(cafile=str(cert))
        with trust.wrap_socket(service.connect(), server_hostname="localhost") as client:
            client.settimeout(5)
            client.sendall(f"{post}Content-Length: {len(body)}\r\n\r\n".encode())
            client.sendall(body + f"GET {codes_path()}00007/ {caller}\r\n".encode())
            answer = b""
            while b'"00007"' not in answer:
                answer += client.recv(65536)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"201", b"200"]


@pytest.mark.parametrize(
    ("damage", "named", "reason"),
    [
        ("no certificate", "BARRING_TLS_CERT_FILE: not set", "No such file"),
        ("missing certificate", "BARRING_TLS_CERT_FILE: {cert}", "No such file"),
        ("empty certificate", "BARRING_TLS_CERT_FILE: {cert}", "no certificate"),
        ("no key", "BARRING_TLS_KEY_FILE: not set", "No such file"),
        ("missing key", "BARRING_TLS_KEY_FILE: {key}", "No such file"),
        ("empty key", "BARRING_TLS_KEY_FILE: {key}", "PEM"),
        ("other key", "BARRING_TLS_KEY_FILE: {key}", "key values mismatch"),
        ("encrypted key", "BARRING_TLS_KEY_FILE: {key}", "PEM"),
    ],
)
def test_unusable_certificate_stops_the_start(
    tmp_path: Path, damage: str, named: str, reason: str
) -> None:
    """Without a certificate and its key that fit, the server says which file is at fault."""
    cert, key = certificate(tmp_path)
    names = {"tls_cert_file": str(cert), "tls_key_file": str(key)}
    kind, _, thing = damage.partition(" ")
    file = key if thing == "key" else cert
    match kind:
        case "no":
            del names["tls_key_file" if file == key else "tls_cert_file"]
        case "missing":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
        case "other":
            (tmp_path / "other").mkdir()
            certificate(tmp_path / "other")[1].rename(key)
        case "encrypted":
            private = load_pem_private_key(key.read_bytes(), None)
            password = BestAvailableEncryption(b"secret")
            key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, password))
    with pytest.raises(SettingsError) as error:
        tls_settings(Settings(**names))  # type: ignore[arg-type]
    assert str(error.value).startswith(f"{named.format(cert=cert, key=key)}: must contain ")
    assert reason in str(error.value)


@pytest.mark.parametrize("command", [(), ("-m", "barring", "serve")], ids=["gunicorn", "serve"])
def test_reload_takes_a_new_certificate_and_no_unusable_one(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """SIGHUP takes a new certificate; if it is unusable, the log says why and the old one stays."""
    (tmp_path / "new").mkdir()
    cert, key = certificate(tmp_path)
    new_cert, new_key = certificate(tmp_path / "new")
    old, new = cert.read_text(), new_cert.read_text()
    settings = {"BARRING_TLS_CERT_FILE": str(cert), "BARRING_TLS_KEY_FILE": str(key)}
    settings |= {"BARRING_WORKERS": "1", "PYTHONPATH": str(ROOT)}
    start = [sys.executable, *command] if command else ()
    with running(tmp_path, command=start, **settings) as service:

        def workers(event: str) -> list[int]:
            found = re.findall(rf"{event} .*pid: (\d+)", service.log_file.read_text())
            return [int(worker) for worker in found]

        def replace_worker(event: str, process: int, number: int) -> str:
            """The certificate that the next worker shows."""
            before = len(workers(event))
            os.kill(process, number)
            await_that(lambda: len(workers(event)) > before)
            return ssl.get_server_certificate(("localhost", service.port), timeout=20)

        reload = ("Worker exiting", service.process.pid, signal.SIGHUP)
        new_cert.rename(cert)
        assert replace_worker(*reload) == old
        (worker,) = {*workers("Booting worker")} - {*workers("Worker exiting")}
        assert replace_worker("Booting worker", worker, signal.SIGKILL) == old
        (warning,) = service.logged(event="warning")
        assert warning["message"].startswith(f"BARRING_TLS_KEY_FILE: {key}: must contain ")
        assert warning["message"].endswith("correct the file and reload")
        new_key.rename(key)
        assert replace_worker(*reload) == new
        assert service.logged(event="warning") == [warning]


@pytest.mark.parametrize(
    ("settings", "warns"),
    [
        ({"auth": "gateway", "bind": "0.0.0.0:8000"}, True),
        ({"auth": "jwt", "bind": "[::]:8000"}, True),
        ({"auth": "jwt", "bind": "192.0.2.1:8000"}, True),
        ({"auth": "jwt", "bind": "codes.example.com:8000"}, True),
        ({"auth": "jwt", "bind": "0.0.0.0:8000", "tls_cert_file": "x"}, False),
        ({"auth": "gateway", "bind": "127.0.0.1:8000"}, False),
        ({"auth": "gateway", "bind": "[::1]:8000"}, False),
        ({"auth": "gateway", "bind": "localhost:8000"}, False),
        ({"auth": "gateway", "bind": "unix:/run/x"}, False),
        ({"auth": "local", "bind": "0.0.0.0:8000"}, False),
        ({"bind": "0.0.0.0:8000", "platform_secrets_file": "/etc/barring/platforms"}, True),
        ({"bind": "127.0.0.1:8000", "platform_secrets_file": "/etc/barring/platforms"}, False),
    ],
)
def test_unencrypted_secrets_are_recognized(settings: dict[str, str], warns: bool) -> None:
    """Secrets are sent unencrypted to an address that others can reach, unless there is TLS."""
    assert sends_secrets_unencrypted(Settings(**settings)) is warns  # type: ignore[arg-type]


def test_start_warns_of_plain_text(tmp_path: Path) -> None:
    """The start warns once that secrets are sent unencrypted."""
    secret = {"BARRING_AUTH": "gateway", "BARRING_GATEWAY_SECRET": "s" * 32}
    with running(tmp_path, BARRING_BIND="0.0.0.0:0", **secret) as service:
        (line,) = service.logged(event="warning")
    assert "BARRING_TLS_CERT_FILE" in line["message"]
