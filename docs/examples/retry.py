"""Create a list of authorization codes, and send it again until it is known to be stored.

A broken connection, a timeout or a 503 does not tell whether the list was stored. Sending it once
more is safe: a list is stored as a whole or not at all, and never twice. If the first attempt had
stored it, the next one is refused with a 400 whose `errors` name every item as existing already.

A removal needs none of this. What is not there is no error, so that it may just be repeated.
"""

import time

import httpx

ATTEMPTS = 10
PAUSE = 1.0
"""Seconds before the next attempt, where the service does not name another time."""


def create(client: httpx.Client, url: str, codes: list[dict[str, str]]) -> None:
    """Store `codes`, each with `code` and `description`; `url` is that of a user's codes.

    Raises httpx.HTTPStatusError when the service refuses them, and the last error when it could
    not be reached or answered 503 in every attempt.
    """
    unsure = False  # Whether an earlier attempt may have stored them.
    for left in reversed(range(ATTEMPTS)):
        pause = PAUSE
        try:
            answer = client.post(url, json={"authCodes": codes})
            if answer.status_code == 400 and unsure and stored(client, url, codes, answer):
                return
            answer.raise_for_status()
            return
        except httpx.TransportError:  # The connection broke, or no answer came in time.
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
    """Whether a refusal names every code as existing, and a look shows them as they were sent."""
    named = refusal.json().get("errors", {}).get("json", {}).get("authCodes", {})
    if set(named) != {str(place) for place in range(len(codes))}:
        return False  # Some are new, or the list is not valid: this is no echo of our own attempt.
    answer = client.get(url).raise_for_status()
    descriptions = {item["code"]: item["description"] for item in answer.json()["authCodes"]}
    return all(descriptions.get(item["code"]) == item["description"] for item in codes)
