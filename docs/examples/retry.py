"""Create a list of authorization codes, and repeat the request until the list is stored.

After a broken connection, a timeout or a 503, the client cannot know whether the list was stored.
It is safe to send the list again: it is stored as a whole or not at all, and never twice. If the
first request stored it, the next one gets a 400, and `errors` says of every item that it exists.

A request that deletes codes can simply be repeated. Codes that do not exist are not an error.
"""

import time

import httpx

ATTEMPTS = 10
PAUSE = 1.0
"""Seconds before the next attempt, unless the service sends Retry-After."""


def create(client: httpx.Client, url: str, codes: list[dict[str, str]]) -> None:
    """Store `codes`. Each has a `code`, a `description` and perhaps a `classOfService`.

    `url` is the URL of the codes of a user, group or tenant. Raises httpx.HTTPStatusError if the
    service refuses the codes. If every attempt failed, raises the error of the last one.
    """
    unsure = False  # Whether an earlier attempt may have stored the codes.
    for left in reversed(range(ATTEMPTS)):
        pause = PAUSE
        try:
            response = client.post(url, json={"authCodes": codes})
            if response.status_code == 400 and unsure and stored(client, url, codes, response):
                return
            response.raise_for_status()
            return
        except httpx.TransportError:  # The connection broke, or the response took too long.
            if not left:
                raise
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 503 or not left:
                raise
            pause = float(error.response.headers.get("Retry-After", PAUSE))
        unsure = True
        time.sleep(pause)


def stored(
    client: httpx.Client, url: str, codes: list[dict[str, str]], refusal: httpx.Response
) -> bool:
    """Whether a 400 says that every code exists, and the codes are stored as they were sent."""
    named = refusal.json().get("errors", {}).get("json", {}).get("authCodes", {})
    if set(named) != {str(place) for place in range(len(codes))}:
        return False  # Some codes do not exist, or the list is not valid: we have not stored it.
    found = {item["code"]: item for item in client.get(url).raise_for_status().json()["authCodes"]}
    return all(
        found.get(item["code"], {}).get(field) == item.get(field)
        for item in codes
        for field in ("description", "classOfService")
    )
