"""Changes on a real server: they last, lose no other change, and bring no deleted code back."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest

from tests.service import LEVELS, TENANT_ADMIN, Service, codes_path, running

CODES = [str(number) for number in range(100, 140)]
CHANGERS = 8


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def two_workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """A service with two workers, for each engine."""
    settings = {"BARRING_WORKERS": "2"}
    if request.param == "postgresql":
        settings["BARRING_DATABASE_URL"] = request.getfixturevalue("postgres")
    with running(tmp_path, **settings) as started:
        yield started


@pytest.mark.parametrize("level", LEVELS)
def test_change_brings_no_deleted_code_back(two_workers: Service, level: str) -> None:
    """Once a deletion is acknowledged, each change that begins is a 404, and the code stays away.

    Many clients change the codes again and again, while one deletes them, one after the other.
    """
    path = LEVELS[level]
    deleted = {code: Event() for code in CODES}

    def change(client: httpx.Client, number: int, code: str) -> int:
        """Change a code until it is gone; gives how often the change succeeded."""
        body = {"description": f"by {number}", "classOfService": f"class {number}"}
        for count in range(10_000):
            late = deleted[code].is_set()
            response = client.patch(f"{path}{code}/", json=body)
            if response.status_code == 404:
                return count
            assert response.status_code == 200
            assert response.json() == {"code": code, **body}
            assert not late, "changed after its deletion"
        raise AssertionError("never deleted")

    def change_all(number: int) -> int:
        with two_workers.client(**TENANT_ADMIN) as client:
            return sum(change(client, number, code) for code in CODES)

    with two_workers.client(**TENANT_ADMIN) as client, ThreadPoolExecutor(CHANGERS) as pool:
        listed = {"authCodes": [{"code": code} for code in CODES]}
        assert client.post(path, json=listed).status_code == 201
        changers = [pool.submit(change_all, number) for number in range(CHANGERS)]
        for code in CODES:
            assert client.delete(f"{path}{code}/").status_code == 200
            deleted[code].set()
            assert client.get(f"{path}{code}/").status_code == 404
        assert sum(changer.result() for changer in changers) > 0
        assert client.get(path).json() == {"authCodes": []}


def test_changes_of_different_fields_meet(two_workers: Service) -> None:
    """Of two changes at once, of the description and of the class, neither undoes the other."""
    path = codes_path()

    def change(field: str) -> None:
        with two_workers.client() as client:
            for number in range(50):
                response = client.patch(f"{path}12/", json={field: f"no. {number}"})
                assert response.json()[field] == f"no. {number}"

    with two_workers.client() as client, ThreadPoolExecutor(2) as pool:
        assert client.post(path, json={"code": "12"}).status_code == 201
        list(pool.map(change, ("description", "classOfService")))
        after = {"code": "12", "description": "no. 49", "classOfService": "no. 49"}
        assert client.get(f"{path}12/").json() == after


def test_change_outlives_the_server(tmp_path: Path) -> None:
    """An acknowledged change is there after kill -9 of every process."""
    code = {"code": "12", "description": "Gate", "classOfService": "local"}
    with running(tmp_path, BARRING_WORKERS="1") as service:
        with service.client(**TENANT_ADMIN) as client:
            for path in LEVELS.values():
                client.post(path, json={"code": "12"}).raise_for_status()
                client.patch(f"{path}12/", json={"classOfService": "local", "description": "Gate"})
        worker = int(service.await_log(r"Booting worker with pid: (\d+)")[1])
        os.kill(service.process.pid, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
    with running(tmp_path) as service, service.client(**TENANT_ADMIN) as client:
        for path in LEVELS.values():
            assert client.get(path).json() == {"authCodes": [code]}
