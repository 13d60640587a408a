"""Create the codes of joiners and delete those of leavers, from a spreadsheet saved as CSV.

    python3 nightly.py changes.csv

The first line of the file names the columns: action, tenant, group, user, code, description. The
action `join` creates a code for a user. A code that the user already has is not changed. The action
`leave` deletes a code, or all codes of the user if the row has no code. The rows are applied from
top to bottom.

The program reads the codes of each user, and sends only the differences. Therefore you can run it
again at any time, also after it was interrupted. It prints no code. Its exit status is 1 if the
changes of a user failed. Set CODES_URL to the URL of the service. If the service requires the
header Authorization, set CODES_AUTHORIZATION to its value.
"""

import csv
import json
import os
import sys
import time
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

SERVICE = os.environ.get("CODES_URL", "http://127.0.0.1:8000").rstrip("/")
HEADERS = {"X-Role": "System Admin", "Content-Type": "application/json"}
if "CODES_AUTHORIZATION" in os.environ:
    HEADERS["Authorization"] = os.environ["CODES_AUTHORIZATION"]
COLUMNS = ("action", "tenant", "group", "user", "code", "description")
ATTEMPTS = 5

Owner = tuple[str, str, str]
Row = dict[str, str]


def read_changes(path: str) -> dict[Owner, list[Row]]:
    """The rows of each user, in the order of the file. All rows are checked before any is sent.

    The delimiter is a comma or a semicolon. The file may begin with a byte order mark.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        delimiter = ";" if ";" in file.readline() else ","
        file.seek(0)
        changes: dict[Owner, list[Row]] = {}
        for number, row in enumerate(csv.DictReader(file, delimiter=delimiter), 1):
            if {*row} != {*COLUMNS} or None in row.values():
                raise ValueError(f"row {number}: must have the columns {', '.join(COLUMNS)}")
            if row["action"] not in ("join", "leave"):
                raise ValueError(f"row {number}: the action must be join or leave")
            owner = (row["tenant"], row["group"], row["user"])
            changes.setdefault(owner, []).append(row)
        return changes


def ask(method: str, owner: Owner, codes: list[Row] | None = None) -> dict:
    """Send a request about the codes of a user, and return the body of the response."""
    tenant, group, user = (quote(part, safe="") for part in owner)
    path = f"/api/v1/tenants/{tenant}/groups/{group}/users/{user}"
    url = f"{SERVICE}{path}/services/outgoing_call_barring/codes/"
    body = None if codes is None else json.dumps({"authCodes": codes}).encode()
    request = Request(url, body, HEADERS, method=method)
    with urlopen(request, timeout=60) as response:
        return json.load(response)


def update(owner: Owner, rows: list[Row]) -> tuple[int, int]:
    """Apply the rows to the codes of a user. Return how many codes were created and deleted."""
    has = {item["code"]: item["description"] for item in ask("GET", owner)["authCodes"]}
    wanted = dict(has)
    for row in rows:
        if row["action"] == "join":
            wanted.setdefault(row["code"], row["description"])
        elif row["code"]:
            wanted.pop(row["code"], None)
        else:
            wanted.clear()
    if old := [{"code": code} for code in has if code not in wanted]:
        ask("DELETE", owner, old)
    if new := [{"code": c, "description": d} for c, d in wanted.items() if c not in has]:
        ask("POST", owner, new)
    return len(new), len(old)


def update_patiently(owner: Owner, rows: list[Row]) -> tuple[int, int]:
    """Call `update`. Try again if a connection breaks, or if the service is busy."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return update(owner, rows)
        except (OSError, HTTPException) as error:
            refused = isinstance(error, HTTPError) and error.code not in (429, 503)
            if refused or attempt == ATTEMPTS:
                raise
            time.sleep(attempt / 2)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Name one file: python3 nightly.py changes.csv")
    try:
        changes = read_changes(sys.argv[1])
    except (OSError, ValueError, csv.Error) as error:  # Text that is not UTF-8 is a ValueError.
        sys.exit(f"{sys.argv[1]}: {error}")
    failed = False
    for owner, rows in changes.items():
        try:
            created, deleted = update_patiently(owner, rows)
            print(*owner, f"+{created}", f"-{deleted}", sep="\t")
        except (OSError, HTTPException) as error:
            failed = True
            reason = error.read().decode() if isinstance(error, HTTPError) else error
            print(*owner, reason, sep="\t", file=sys.stderr)
    sys.exit(failed)
