"""Health tells the truth, and the metrics are right across workers and restarts."""

import os
import random
import re
import signal
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from barring import logs
from barring.metrics import Metrics
from barring.storage import open_storage
from tests.service import LEVELS, Service, codes_path, running
from tests.waiting import await_that


def metrics(service: Service) -> dict[tuple[str, ...], float]:
    """Every metric by its name and the values of its labels."""
    with service.client() as client:
        answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def requests_counted(shown: dict[tuple[str, ...], float], method: str) -> float:
    """How many requests with this method the metrics have."""
    names = ("barring_request_seconds_count", method)
    return sum(value for key, value in shown.items() if key[:2] == names)


def test_live_and_ready_are_public_and_terse(service: Service) -> None:
    """Both answer 200 to anybody, with one word."""
    with service.client(**{"X-Role": "", "Via": "1.1 probe"}) as client:
        assert client.get("/health/live").json() == {"status": "live"}
        assert client.get("/health/ready").json() == {"status": "ready"}


def test_readiness_fails_without_the_database(tmp_path: Path) -> None:
    """When the file is gone, reads of health go on and readiness is 503 without details."""
    with running(tmp_path) as service, service.client() as client:
        assert client.get("/health/ready").status_code == 200
        service.database.rename(tmp_path / "elsewhere")
        await_that(lambda: client.get("/health/ready").status_code == 503, 1)
        answer = client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert str(tmp_path) not in answer.text
        assert client.get("/health/live").status_code == 200
        (tmp_path / "elsewhere").rename(service.database)
        assert client.get("/health/ready").status_code == 200
    assert service.logged(event="storage_unavailable")


def test_metrics_are_off_unless_wanted(service: Service) -> None:
    """Without BARRING_METRICS there is no /metrics."""
    with service.client() as client:
        assert client.get("/metrics").status_code == 404


def test_metrics_are_right_across_workers(tmp_path: Path) -> None:
    """Requests to all workers are summed, one that died included, by route and status."""
    path = codes_path("t-secret", "g-secret", "u-secret")
    with running(tmp_path, BARRING_METRICS="true", BARRING_WORKERS="2") as service:
        for number in range(40):
            with service.client() as client:
                assert client.post(path, json={"code": f"c4n4ry{number}"}).status_code == 201
        workers = re.findall(r"Booting worker with pid: (\d+)", service.log_file.read_text())
        os.kill(int(workers[0]), signal.SIGKILL)
        service.await_log(rf"Booting worker with pid: (?!{workers[0]}|{workers[1]})\d+")
        with service.client(**{"X-Role": "boss"}) as client:
            client.get(path)
            client.request("C4N4RY", path)
        shown = metrics(service)
        with service.client() as client:
            assert "secret" not in client.get("/metrics").text.lower()
    route = next(line["route"] for line in service.log() if line.get("status") == 201)
    assert shown["barring_request_seconds_count", "POST", route, "201"] == 40
    assert shown["barring_request_seconds_count", "GET", route, "401"] == 1
    assert shown["barring_request_seconds_count", "other", "none", "405"] == 1
    assert shown["barring_refused_authentications_total", "role"] == 1
    assert shown[("barring_write_lock_wait_seconds_count",)] >= 40


def test_metrics_start_from_nothing(tmp_path: Path) -> None:
    """A restarted server does not show the metrics of the one before."""
    for _ in range(2):
        with running(tmp_path, BARRING_METRICS="true") as service:
            with service.client() as client:
                client.get("/health/live")
            shown = metrics(service)
        assert shown["barring_request_seconds_count", "GET", "/health/live", "200"] == 1


def test_counts_continue_when_workers_are_replaced(tmp_path: Path) -> None:
    """No count is lost or counted twice when workers are killed, and when a reload replaces all."""
    settings = {"BARRING_METRICS": "true", "BARRING_WORKERS": "2"}
    turns = [
        ["/health/live", "/", "/nothing"],
        [*LEVELS.values()],
        [f"{path}01/" for path in LEVELS.values()],
        ["/health/ready", "/docs/", "/openapi.json"],
    ]
    with running(tmp_path, **settings) as service:
        for turn, paths in enumerate(turns):
            for path in random.sample(paths * 4, 12):  # Each worker meets them in its own order.
                with service.client() as client:
                    client.get(path)
            workers = re.findall(r"Booting worker with pid: (\d+)", service.log_file.read_text())
            if turn % 2:
                os.kill(int(workers[-1]), signal.SIGKILL)
            else:
                service.process.send_signal(signal.SIGHUP)
            started = len(workers) + (1 if turn % 2 else 2)
            service.await_log(rf"(?s)(Booting worker.*){{{started}}}")
        shown = metrics(service)
    name = "barring_request_seconds_count"
    assert [value for key, value in shown.items() if key[0] == name] == [4] * 12


def test_worker_killed_while_it_adds_a_metric_leaves_no_trace(tmp_path: Path) -> None:
    """The next worker in its place writes over a row that was begun and not yet counted."""
    shared = Metrics(open_storage(f"sqlite:///{tmp_path / 'codes.sqlite3'}"), workers=1)
    shared.count("verification_unavailable", {})
    begun = bytes(shared._block[:8])
    shared._new_row(("barring_refused_authentications", "x" * 100))
    shared._block[:8] = begun
    shared.use(0)
    shared.count("storage_unavailable", {})
    logs.listeners.remove(shared.count)
    shown = generate_latest(shared).decode()
    assert "barring_database_errors_total 1.0" in shown
    assert "xxx" not in shown


def test_cleaner_of_tmp_does_not_reach_the_metrics(tmp_path: Path) -> None:
    """The metrics are in no file: counts go on, also in new workers, when all files are removed."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    settings = {"BARRING_METRICS": "true", "BARRING_WORKERS": "1", "TMPDIR": str(folder)}
    with running(tmp_path, **settings) as service:
        for code in ("12", "13", "14"):
            assert not list(folder.iterdir())
            with service.client() as client:
                assert client.post(codes_path(), json={"code": code}).status_code == 201
            pids = re.findall(r"Booting worker with pid: (\d+)", service.log_file.read_text())
            os.kill(int(pids[-1]), signal.SIGKILL)
            service.await_log(rf"(?s)(Booting worker.*){{{len(pids) + 1}}}")
        shown = metrics(service)
    assert requests_counted(shown, "POST") == 3


def test_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    """A folder that the environment names for other metrics is neither used nor removed."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for wanted in ("false", "true"):
        settings = {"BARRING_METRICS": wanted, "PROMETHEUS_MULTIPROC_DIR": str(theirs)}
        with running(tmp_path, **settings) as service, service.client() as client:
            client.get("/health/live")
        assert list(theirs.iterdir()) == []


def test_database_errors_are_counted(tmp_path: Path) -> None:
    """A 503 because of the database is counted."""
    with running(tmp_path, BARRING_METRICS="true") as service:
        service.database.unlink()
        with service.client() as client:
            assert client.post(codes_path(), json={"code": "12"}).status_code == 503
        assert metrics(service)[("barring_database_errors_total",)] == 1
