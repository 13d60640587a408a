"""A client that tries again after a broken connection, as docs/examples/retry.py shows it.

The service is one whose worker dies on demand: with kill -9, just before or just after the commit
of a write, so that the client gets no answer and cannot know what happened.
"""

import runpy
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service import ROOT, codes_path
from tests.waiting import await_that

from .server import Server

pytestmark = pytest.mark.long

EXAMPLE = runpy.run_path(str(ROOT / "docs/examples/retry.py"))
create = EXAMPLE["create"]
CODES = [{"code": code, "description": f"Desk {code}"} for code in ("10", "11", "12")]
PATH = codes_path()

DYING = """
import os, signal
from pathlib import Path
import wsgi

app = wsgi.app
storage = app.extensions["barring.storage"]

def die(moment):
    try:
        Path({folder!r}, moment).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

def dying(write):
    def write_and_die(*arguments):
        die("before")
        result = write(*arguments)
        die("after")
        return result
    return write_and_die

storage.add, storage.remove = dying(storage.add), dying(storage.remove)
"""


class DyingServer(Server):
    """A server whose next write kills its worker."""

    def die(self, moment: str) -> None:
        """Let the next write die `before` or `after` its commit."""
        (self.folder / moment).touch()

    def deaths(self) -> int:
        """How many workers have died."""
        return self.service.log_file.read_text().count("was sent SIGKILL!")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DyingServer]:
    """One such server."""
    (tmp_path / "dying.py").write_text(DYING.format(folder=str(tmp_path)))
    options = ("--pythonpath", str(tmp_path))
    with DyingServer(tmp_path, *options, application="dying:app") as started:
        yield started


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example without its pause of a second."""
    monkeypatch.setitem(create.__globals__, "PAUSE", 0.05)


def shown(client: httpx.Client, path: str = PATH) -> list[dict[str, str]]:
    """The codes that the service lists."""
    codes: list[dict[str, str]] = client.get(path).json()["authCodes"]
    return codes


@pytest.mark.parametrize(("moment", "statuses"), [("after", [400]), ("before", [201])])
def test_creation_is_sent_again(server: DyingServer, moment: str, statuses: list[int]) -> None:
    """Whether the first attempt was stored or not, the second one makes it sure."""
    server.die(moment)
    with server.service.client() as client:
        create(client, PATH, CODES)
        assert shown(client) == CODES
    await_that(lambda: server.deaths() == 1, 10)
    answers = server.service.logged(event="request", method="POST")
    assert [line["status"] for line in answers] == statuses


def test_repeated_creation_names_what_exists(server: DyingServer) -> None:
    """The answer to a repeated POST is 400, and names each code that exists by its place."""
    server.die("after")
    with server.service.client() as client:
        with pytest.raises(httpx.TransportError):
            client.post(PATH, json={"authCodes": CODES})
        extended = [{"code": "99"}, *CODES]
        answers = [client.post(PATH, json={"authCodes": codes}) for codes in (CODES, extended)]
        assert shown(client) == CODES
    fault = {"code": ["This code exists already."]}
    for answer, places in zip(answers, ("012", "123"), strict=True):
        assert answer.status_code == 400
        assert answer.json()["errors"] == {"json": {"authCodes": dict.fromkeys(places, fault)}}


def test_removal_is_just_repeated(server: DyingServer) -> None:
    """A DELETE whose connection broke is sent again, and once more, without an error."""
    with server.service.client() as client:
        create(client, PATH, CODES)
        for moment in ("before", "after"):
            server.die(moment)
            with pytest.raises(httpx.TransportError):
                client.request("DELETE", PATH, json={"authCodes": CODES[:2]})
        for _ in range(2):
            answer = client.request("DELETE", PATH, json={"authCodes": CODES[:2]})
            assert answer.status_code == 200
        assert shown(client) == CODES[2:]


def test_codes_of_another_are_not_taken_for_ones_own(server: DyingServer) -> None:
    """A refusal stands where others exist, or have another description, or the attempt was sure."""
    other = [{**item, "description": "Another desk"} for item in CODES]
    with server.service.client() as client:
        create(client, PATH, CODES)
        for codes in (other, [*CODES, {"code": "99", "description": ""}]):
            server.die("before")
            with pytest.raises(httpx.HTTPStatusError, match="400"):
                create(client, PATH, codes)
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            create(client, PATH, CODES)
        assert shown(client) == CODES
    await_that(lambda: server.deaths() == 2, 10)


def test_unavailable_service_is_asked_again_when_it_says() -> None:
    """After a 503 the client waits for Retry-After, and gives up after the last attempt."""
    answers = [httpx.Response(503, headers={"Retry-After": "0.1"})] * 2 + [httpx.Response(201)]
    replies = iter(answers)
    started = time.monotonic()
    with httpx.Client(transport=httpx.MockTransport(lambda _: next(replies))) as client:
        create(client, "http://x/", CODES)
    assert next(replies, None) is None
    assert time.monotonic() - started >= 0.2
    down = httpx.MockTransport(lambda _: httpx.Response(503, headers={"Retry-After": "0"}))
    with httpx.Client(transport=down) as client, pytest.raises(httpx.HTTPStatusError, match="503"):
        create(client, "http://x/", CODES)


def test_clients_that_retry_store_every_list_once(server: DyingServer, full_length: bool) -> None:
    """Through many kills at either moment, each list is there in the end as it was sent."""
    lists, clients = (50 if full_length else 5), 4

    def work(number: int) -> None:
        with server.service.client() as client:
            for place in range(lists):
                server.die(("before", "after")[(number + place) % 2])
                create(client, codes_path(user=f"client{number}-{place}"), CODES)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deaths = server.deaths()
    print(f"\n{deaths} faults, {lists * clients} lists created by clients that retry")
    assert deaths >= lists
    with server.service.client() as client:
        for number in range(clients):
            for place in range(lists):
                assert shown(client, codes_path(user=f"client{number}-{place}")) == CODES
