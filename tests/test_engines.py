"""Both engines behind the HTTP API give the same responses."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app import create_app
from barring.settings import Settings
from tests.service import codes_path

CODES = ["01", "1", "AA", "aa", "a.", "*1", "#1", "_", "é", "0" * 14, "x" * 15, "a\0", "Zz", "zZ"]
ROLES = ["End User", "Group Admin", "Tenant Admin", "Tenant Admin"]


def random_requests(seed: int, count: int) -> Iterator[tuple[str, str, Any, dict[str, str]]]:
    """Methods, paths, bodies and headers of requests, about half of which succeed."""
    choose = random.Random(seed)
    texts = ["", "é", "😀", "x" * 80]
    for _ in range(count):
        ids = choose.choices(["t", "T", "é😀"][: choose.randint(1, 3)], k=choose.randint(1, 3))
        path = codes_path(*ids, *["", ""][: 3 - len(ids)])
        codes = choose.choices(CODES, k=choose.choice([1, 1, 2, 5]))
        items: list[dict[str, Any]] = [
            {"code": code, "description": choose.choice(texts)} for code in codes
        ]
        for item in items:
            if choose.random() < 0.4:
                item["classOfService"] = choose.choice(["é😀", "national", "x" * 40, "x" * 41, ""])
        changes = {name: value for name, value in items[0].items() if choose.random() < 0.6}
        changes.pop("code", None)
        if choose.random() < 0.2:
            changes["classOfService"] = None
        method, body = choose.choice(
            [
                ("POST", items[0]),
                ("POST", {"authCodes": items}),
                ("DELETE", {"authCodes": [{"code": code} for code in codes]}),
                ("GET", None),
                ("PATCH/", changes),
                ("PATCH/", changes),
                ("GET/", None),
                ("DELETE/", None),
            ]
        )
        if method.endswith("/"):
            method, path = method[:-1], f"{path}{quote(codes[0], safe='')}/"
        yield method, path, body, {"X-Role": choose.choice(ROLES)}


@pytest.mark.parametrize("seed", [7, 8])
def test_both_engines_give_the_same_answers(postgres: str, tmp_path: Path, seed: int) -> None:
    """The same requests get the same responses, byte for byte, whatever stores the codes."""
    urls = (f"sqlite:///{tmp_path / 'codes.sqlite3'}", postgres)
    clients = [create_app(Settings(database_url=url)).test_client() for url in urls]
    seen = set()
    for method, path, body, headers in random_requests(seed, 600):
        first, second = (
            client.open(path, method=method, json=body, headers=headers) for client in clients
        )
        assert (first.status, first.data) == (second.status, second.data), (method, path, body)
        seen.add((method, first.status_code))
    assert {("POST", 201), ("POST", 400), ("PATCH", 200), ("PATCH", 404), ("GET", 200)} <= seen
