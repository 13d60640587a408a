"""The server as it is run: gunicorn's settings, the log, and what a signal does."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from barring.server.config import gunicorn_settings
from barring.settings import Settings
from tests.command import failure
from tests.service import (
    END_USER,
    ROOT,
    Service,
    codes_path,
    environment,
    received,
    running,
)

STOPPED = """
import os
import signal

os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
from wsgi import app
"""
"""The service, each of whose workers is told to stop as soon as it is there."""

SECRET = "c4n4ry-7734"
"""A code that may stand in no log."""


def test_answer_carries_the_request_id_of_the_log(service: Service) -> None:
    """X-Request-ID leads to one line with method, route, status and duration."""
    with service.client(**{"X-Request-ID": SECRET}) as client:
        answer = client.get(codes_path(user="log") + f"{SECRET}/")
    line = service.logged(event="request", request_id=answer.headers["X-Request-ID"])
    assert len(line) == 1
    assert line[0]["method"] == "GET"
    assert line[0]["route"].endswith("/outgoing_call_barring/codes/<string:code>/")
    assert line[0]["status"] == 404
    assert 0 <= line[0]["ms"] < 10_000


def test_write_is_audited(service: Service) -> None:
    """A write that succeeded leaves one line: who, whose, what and how many."""
    path = codes_path("acme", "sales", "audit")
    with service.client(**{"X-Tenant-Id": "acme", "X-User-Id": SECRET}) as client:
        created = client.post(path, json={"authCodes": [{"code": "11"}, {"code": "12"}]})
        refused = client.post(path, json={"code": "11"})
        removed = client.delete(path + "11/")
        ids = [answer.headers["X-Request-ID"] for answer in (created, refused, removed)]
    lines = [service.logged(event="audit", request_id=request_id) for request_id in ids]
    assert lines[1] == []
    for line, operation, count in ((lines[0], "create", 2), (lines[2], "delete", 1)):
        assert SECRET not in str(line)  # What does not bind a Group Admin is not told.
        assert {key: line[0][key] for key in ("role", "scope", "owner", "operation", "count")} == {
            "role": "Group Admin",
            "scope": ["acme", None],
            "owner": {"tenant": "acme", "group": "sales", "user": "audit"},
            "operation": operation,
            "count": count,
        }


def test_no_code_reaches_the_log(tmp_path: Path) -> None:
    """Whatever is done with a code, and however the request fails, no log line holds it."""
    path = codes_path()
    with running(tmp_path, "--log-level", "debug") as service, service.client() as client:
        client.post(path, json={"code": SECRET})
        client.post(path, json={"code": SECRET})
        client.get(f"{path}{SECRET}/")
        client.get(f"{path}{SECRET}/", headers=END_USER)
        client.put(f"{path}{SECRET}/")
        client.get(f"/nothing/{SECRET}")
        client.get(f"{path}{SECRET}%2F/")
        client.post(path, content=f'{{"code": {SECRET}')
        client.post(path, json={SECRET: SECRET})
        client.request("DELETE", path, json={"authCodes": [{"code": SECRET}]})
        client.delete(f"{path}{SECRET}/")
        for raw in (
            f"GET {path}{SECRET}/ HTTP/9.9\r\n\r\n",
            f"GET {path}{SECRET}/\r\n\r\n",
            f"{SECRET} / HTTP/1.1\r\n\r\n",
            f"GET / HTTP/1.1\r\n{SECRET}\r\n\r\n",
            f"GET / HTTP/1.1\r\nX_{SECRET}: 1\r\n\r\n",
            f"GET {path}{SECRET}/{'x' * 9000} HTTP/1.1\r\n\r\n",
            f"GET {path}{SECRET}/ HTTP/1.1\r\nHost: localhost\r\n",
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Role: Group Admin\r\n"
            f"Transfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
        ):
            with service.connect() as connection:
                connection.sendall(raw.encode())
                connection.shutdown(socket.SHUT_WR)
                answer = received(connection)
            assert SECRET.encode() not in answer
    log = service.log_file.read_text()
    assert '"event":"refused"' in log
    assert SECRET not in log
    assert service.log()  # every line is JSON


def test_unexpected_error_is_told_without_quoting(tmp_path: Path) -> None:
    """A fault that nobody expected is a plain 500; the log has its place and not its text."""
    script = (
        "import app, wsgi\n"
        "from barring.storage.sqlite.engine import SQLiteStorage\n"
        f"def broken(*_): raise KeyError('{SECRET}')\n"
        "SQLiteStorage.get = broken\n"
        "app = wsgi.app\n"
    )
    (tmp_path / "faulty.py").write_text(script)
    options = ("--pythonpath", str(tmp_path))
    with running(tmp_path, *options, application="faulty:app") as service:
        answer = httpx.get(f"{service.url}{codes_path()}{SECRET}/", headers=END_USER)
    assert answer.status_code == 500
    assert answer.json()["code"] == 500
    line = service.logged(event="unexpected_error", request_id=answer.headers["X-Request-ID"])[0]
    assert line["error"][0] == "builtins.KeyError"
    assert any("get_code" in place for place in line["error"])
    assert SECRET not in service.log_file.read_text() + answer.text
    assert "Traceback" not in answer.text


def test_requests_in_flight_are_answered_on_sigterm(tmp_path: Path) -> None:
    """SIGTERM stops accepting, and a request that has begun gets its answer."""
    body = b'{"code": "12"}'
    head = f"POST {codes_path()} HTTP/1.1\r\nHost: localhost\r\nX-Role: Group Admin\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with running(tmp_path) as service, service.connect() as connection:
        connection.sendall(head.encode() + body[:5])
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        service.await_log("Handling signal: term")
        time.sleep(0.3)
        connection.sendall(body[5:])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert service.process.returncode == 0


def test_unix_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    """On a Unix socket, mode 0600, the role header is believed as on loopback."""
    path = tmp_path / "socket"
    with running(tmp_path, BARRING_BIND=f"unix:{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://x", headers=END_USER) as client:
            assert client.get(codes_path()).json() == {"authCodes": []}


def ask(socket_path: Path) -> int:
    """The status of a request over a Unix socket."""
    transport = httpx.HTTPTransport(uds=str(socket_path))
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        return client.get("/health/ready").status_code


@pytest.mark.long
def test_second_server_on_a_unix_socket_is_refused(tmp_path: Path) -> None:
    """It says which socket is in use, and the first server keeps it, also when the second ends."""
    path = tmp_path / "socket"
    second = tmp_path / "second"
    second.mkdir()
    with running(tmp_path, BARRING_BIND=f"unix:{path}"):
        before = path.stat().st_ino
        events = ("database_created", "gunicorn.error")
        error = failure(second, "serve", events=events, BARRING_BIND=f"unix:{path}")
        assert f"unix:{path}: Address already in use" in error
        assert path.stat().st_ino == before
        assert ask(path) == 200


def test_socket_of_a_killed_server_is_taken_over(tmp_path: Path) -> None:
    """A server starts on the socket that a killed one left, and removes it when it ends."""
    path = tmp_path / "socket"
    with running(tmp_path, BARRING_BIND=f"unix:{path}") as service:
        service.kill()
    assert path.is_socket()
    with running(tmp_path, BARRING_BIND=f"unix:{path}"):
        assert ask(path) == 200
    assert not path.exists()


def test_bare_gunicorn_is_set_as_make_run(tmp_path: Path) -> None:
    """`gunicorn wsgi:app` takes every setting from gunicorn.conf.py, and make run is just that."""
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--print-config", "wsgi:app"],
        cwd=ROOT,
        env=environment(tmp_path, BARRING_WORKERS="3"),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    shown = dict(re.findall(r"^(\w+) += (.*)$", done.stdout, re.M))
    for name, value in gunicorn_settings(Settings(bind="127.0.0.1:0", workers=3)).items():
        if callable(value):
            assert shown[name] == f"<{value.__name__}()>"
        else:
            assert shown[name] in (str(value), str([value]), value or "[]"), name
    run = subprocess.run(
        ["make", "--dry-run", "run"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "exec .venv/bin/gunicorn wsgi:app\n" in run.stdout


def test_killed_worker_is_replaced(tmp_path: Path) -> None:
    """After kill -9 of a worker another takes its place, and the service goes on."""
    with running(tmp_path, BARRING_WORKERS="1") as service, service.client() as client:
        assert client.post(codes_path(), json={"code": "12"}).status_code == 201
        worker = int(service.await_log(r"Booting worker with pid: (\d+)")[1])
        os.kill(worker, signal.SIGKILL)
        service.await_log(r"Booting worker with pid: (?!" + str(worker) + r")\d+")
        with service.client() as another:
            assert another.get(codes_path() + "12/").status_code == 200


def test_worker_told_to_stop_while_it_starts_ends_in_peace(tmp_path: Path) -> None:
    """A signal that comes before a worker listens ends it as any other does."""
    (tmp_path / "stopped.py").write_text(STOPPED)
    options = ["--pythonpath", str(tmp_path)]
    with running(tmp_path, *options, application="stopped:app", BARRING_WORKERS="1") as service:
        service.await_log(r"(?s)(Worker exiting.*){3}")
    assert not service.logged(level="error")


def test_workers_share_the_codes(service: Service) -> None:
    """What one connection wrote the next one reads, whichever worker it reaches."""
    path = codes_path(user="shared")
    for number in range(20, 40):
        with service.client() as client:
            assert client.post(path, json={"code": str(number)}).status_code == 201
        with service.client() as client:
            assert len(client.get(path).json()["authCodes"]) == number - 19


def test_idle_connections_do_not_block(service: Service) -> None:
    """While many connections wait silently, a client is still answered."""
    idle = [service.connect() for _ in range(40)]
    try:
        with service.client() as client:
            assert client.get(codes_path()).status_code == 200
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_oversized_body_is_refused(tmp_path: Path, chunked: bool) -> None:
    """Beyond the limit a body is 413, also where its length is not told beforehand."""
    with running(tmp_path, BARRING_MAX_BODY_BYTES="1024") as service, service.client() as client:
        path, json_type = codes_path(), {"Content-Type": "application/json"}
        body = b'{"code": "12"}'.ljust(2000)
        content = iter([body[:1000], body[1000:]]) if chunked else body
        assert client.post(path, content=content, headers=json_type).status_code == 413
        content = iter([body[:500], body[500:1024]]) if chunked else body[:1024]
        assert client.post(path, content=content, headers=json_type).status_code == 201


def test_requests_sent_ahead_are_answered_in_order(service: Service) -> None:
    """A client may send its next requests before the first is answered."""
    head = "HTTP/1.1\r\nHost: localhost\r\nX-Role: End User\r\n"
    paths = ["/health/live", f"{codes_path('ahead')}01/", codes_path("ahead")]
    with service.connect() as connection:
        connection.sendall("".join(f"GET {path} {head}\r\n" for path in paths).encode())
        connection.sendall(f"GET / {head}Connection: close\r\n\r\n".encode())
        with connection.makefile("rb") as answers:
            statuses = re.findall(rb"HTTP/1.1 (\d+)", answers.read())
    assert statuses == [b"200", b"404", b"200", b"302"]


def test_path_that_is_not_utf8_is_refused(service: Service) -> None:
    """Broken or overlong UTF-8 in a path is 400, in an id as in a code."""
    for broken in ("%FF", "%C0%AF", "%ED%A0%80", "%E4%B8"):
        for path in (codes_path().replace("foouser", broken), f"{codes_path()}{broken}/"):
            assert httpx.get(service.url + path, headers=END_USER).status_code == 400


def test_many_threads_read_and_write_together(service: Service) -> None:
    """Thirty-two clients at once all get their answers."""
    failures: list[object] = []

    def use(number: int) -> None:
        path = codes_path(user=f"busy{number}")
        with service.client() as client:
            for code in range(10, 20):
                answer = client.post(path, json={"code": str(code)})
                if answer.status_code != 201:
                    failures.append(answer.text)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
