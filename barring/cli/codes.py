"""Commands on the codes of one user, straight on the database."""

import sys
from typing import cast

import click
import orjson
from marshmallow import ValidationError

from barring.bulk.reader import InputError
from barring.domain import Owner
from barring.settings import Settings
from barring.storage.base import StorageError
from schemas.codes import NewCode
from schemas.rules import OWNER_ID

from .common import audit, json_option, main, one_line, opened_storage, show


def _owner_id(value: str) -> str:
    if not OWNER_ID.holds(value):
        raise click.BadParameter(OWNER_ID.message)
    return value


_OWNER = [click.Argument([name], type=_owner_id) for name in ("tenant", "group", "user")]


def _code(code: str) -> str:
    """The code given, or read from standard input: arguments can be read by other users."""
    if code != "-":
        return code
    if not (line := sys.stdin.buffer.readline()):
        raise InputError("standard input is empty; write the code to it")
    return line.decode().rstrip("\r\n")


@main.command("list", params=[*_OWNER])
@json_option
def list_codes(tenant: str, group: str, user: str, as_json: bool) -> None:
    """List the codes of a user.

    \b
    Example:
      barring list acme sales anna
    """
    with opened_storage() as storage:
        codes = storage.list(Owner(tenant, group, user))
    if as_json:
        click.echo(orjson.dumps([code._asdict() for code in codes]))
    else:
        for code, description in codes:
            click.echo(one_line(f"{code:<14}  {description}").rstrip())


@main.command("show", params=[*_OWNER])
@click.argument("code")
@json_option
def show_code(tenant: str, group: str, user: str, code: str, as_json: bool) -> None:
    """Show one CODE of a user; - reads it from standard input.

    \b
    Example:
      barring show acme sales anna 4711
    """
    with opened_storage() as storage:
        found = storage.get(Owner(tenant, group, user), _code(code))
    if found is None:
        raise StorageError("this user has no such code")
    show(found._asdict(), as_json)


@main.command("add", params=[*_OWNER])
@click.argument("code")
@click.argument("description", default="")
def add_code(tenant: str, group: str, user: str, code: str, description: str) -> None:
    """Give a user a new CODE; - reads it from standard input, where nobody else sees it.

    \b
    Examples:
      barring add acme sales anna 4711 "Night shift"
      echo 4711 | barring add acme sales anna - "Night shift"
    """
    owner, rules = Owner(tenant, group, user), NewCode(Settings.from_environment().code_pattern)
    try:
        pair = rules.load({"code": _code(code), "description": description})
    except ValidationError as error:
        (field, (message, *_)), *_ = cast(dict[str, list[str]], error.messages).items()
        raise InputError(f"{field}: {message}") from None
    with opened_storage(create=True) as storage:
        storage.add(owner, [pair])
    audit("create", 1, owner)


@main.command("remove", params=[*_OWNER])
@click.argument("codes", nargs=-1, required=True)
def remove_codes(tenant: str, group: str, user: str, codes: tuple[str, ...]) -> None:
    """Remove CODES of a user; - reads one from standard input. Absent ones are no error.

    \b
    Example:
      barring remove acme sales anna 4711 0815
    """
    owner = Owner(tenant, group, user)
    with opened_storage() as storage:
        count = storage.remove(owner, [_code(code) for code in codes])
    audit("delete", count, owner)
    click.echo(f"{count} removed")
