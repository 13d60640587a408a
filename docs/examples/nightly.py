"""Bring the codes of joiners and leavers up to date, from a spreadsheet saved as CSV.

    python3 nightly.py changes.csv

The first line names the columns: action, tenant, group, user, code, description. A `join` gives a
user a code; one that the user has stays as it is. A `leave` takes a code away, or without a code
all that the user has. The rows count from top to bottom.

It reads what a user has and sends only what differs: run it as often as you like, and again if it
broke off. It prints no code, and exits with 1 if the change of any user failed. CODES_URL names the
service, and CODES_AUTHORIZATION is its header `Authorization`, if it wants one.
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
COLUMNS = {"action", "tenant", "group", "user", "code", "description"}
ATTEMPTS = 5

Owner = tuple[str, str, str]
Row = dict[str, str]


def read_changes(path: str) -> dict[Owner, list[Row]]:
    """The rows of each user, in their order; with commas or semicolons, with or without a BOM.

    Every row is looked at before anything is sent.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        delimiter = ";" if ";" in file.readline() else ","
        file.seek(0)
        changes: dict[Owner, list[Row]] = {}
        for number, row in enumerate(csv.DictReader(file, delimiter=delimiter), 1):
            whole = row.keys() == COLUMNS and None not in row.values()
            if not whole or row["action"] not in ("join", "leave"):
                raise ValueError(f"row {number}: has not the columns of the first, or no action")
            owner = (row["tenant"], row["group"], row["user"])
            changes.setdefault(owner, []).append(row)
        return changes


def ask(method: str, owner: Owner, codes: list[Row] | None = None) -> dict:
    """One request for the codes of a user."""
    tenant, group, user = (quote(part, safe="") for part in owner)
    path = f"/api/v1/tenants/{tenant}/groups/{group}/users/{user}"
    url = f"{SERVICE}{path}/services/outgoing_call_barring/codes/"
    body = None if codes is None else json.dumps({"authCodes": codes}).encode()
    request = Request(url, body, HEADERS, method=method)
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def update(owner: Owner, rows: list[Row]) -> tuple[int, int]:
    """Send what differs between what a user has and shall have; gives how many came and went."""
    has = {item["code"]: item["description"] for item in ask("GET", owner)["authCodes"]}
    shall = dict(has)
    for row in rows:
        if row["action"] == "join":
            shall.setdefault(row["code"], row["description"])
        elif row["code"]:
            shall.pop(row["code"], None)
        else:
            shall.clear()
    if gone := [{"code": code} for code in has if code not in shall]:
        ask("DELETE", owner, gone)
    if new := [{"code": c, "description": d} for c, d in shall.items() if c not in has]:
        ask("POST", owner, new)
    return len(new), len(gone)


def update_patiently(owner: Owner, rows: list[Row]) -> tuple[int, int]:
    """As `update`; begins it again where a connection breaks or the service asks to wait."""
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
    except (OSError, ValueError, csv.Error) as error:  # What is not UTF-8 is a ValueError too.
        sys.exit(f"{sys.argv[1]}: {error}")
    failed = False
    for owner, rows in changes.items():
        try:
            came, went = update_patiently(owner, rows)
            print(*owner, f"+{came}", f"-{went}", sep="\t")
        except (OSError, HTTPException) as error:
            failed = True
            reason = error.read().decode() if isinstance(error, HTTPError) else error
            print(*owner, reason, sep="\t", file=sys.stderr)
    sys.exit(failed)
