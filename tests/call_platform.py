"""Tries of codes at a real service, and how each ended."""

import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.service import codes_path

PLATFORM = {"X-Role": "Call Platform"}
LIMIT = 5
"""The failures that lock a user, by default."""

TIME_LIMIT = 1.5
"""Seconds within which a verification ends: the promised one, and some for a busy machine."""


def verification_path(user: str = "foouser", group: str = "foogroup") -> str:
    """The path at which the codes of a user are verified."""
    return codes_path(user=user, group=group).replace("codes/", "verification/")


class Platform:
    """Verifies codes at services as a call platform does, and remembers how long each try took."""

    def __init__(self, *urls: str) -> None:
        headers = PLATFORM | {"Connection": "close"}  # So that the tries reach all workers.
        self._clients = [httpx.Client(base_url=url, headers=headers, timeout=30) for url in urls]
        self._tries = 0
        self.seconds: list[float] = []

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()

    def verify(self, code: str = "wrong", user: str = "foouser", group: str = "foogroup") -> int:
        """The status of a verification."""
        return self.response(code, user, group).status_code

    def response(self, code: str, user: str = "foouser", group: str = "foogroup") -> httpx.Response:
        """The response to a verification, of which a refusal holds what its status says."""
        self._tries += 1
        client = self._clients[self._tries % len(self._clients)]
        began = time.monotonic()
        response = client.post(verification_path(user, group), json={"code": code})
        self.seconds.append(time.monotonic() - began)
        if response.status_code in (429, 503):
            assert int(response.headers["Retry-After"]) > 0
        assert ("errors" in response.json()) == (response.status_code == 403)
        return response

    def at_once(self, codes: Iterable[str], user: str = "foouser") -> list[int]:
        """The statuses of tries of these codes, 50 at once."""
        with ThreadPoolExecutor(50) as pool:
            return list(pool.map(lambda code: self.verify(code, user), codes))

    def at_users(self, code: str, count: int) -> list[int]:
        """The statuses of tries of one code, for as many users at once."""
        with ThreadPoolExecutor(50) as pool:
            return list(pool.map(lambda number: self.verify(code, f"u{number}"), range(count)))

    def guess(self, workers: int) -> Counter[int]:
        """How wrong tries end, until no worker verifies the right code any more."""
        statuses: Counter[int] = Counter()
        # It is by chance which worker accepts a connection, so several workers get several tries.
        tries = 1 if workers == 1 else 4 * workers
        while 200 in self.at_once(["right"] * (10 * workers)):
            statuses.update(self.at_once(["wrong"] * tries))
            assert statuses.total() < 10 * LIMIT * tries
        return statuses

    def took(self) -> float:
        """The seconds of the slowest try since this was last called."""
        slowest = max(self.seconds)
        self.seconds.clear()
        return slowest
