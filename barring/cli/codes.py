"""Commands on the codes of a user, directly on the database."""

import sys

import click
import orjson
from marshmallow import ValidationError

from barring.bulk.formats import InputError
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


_OWNER = [click.Argument([name], type=_owner_id) for name in Owner._fields]


def _code(argument: str) -> str:
    """The code in an argument, or from standard input if the argument is `-`."""
    if argument != "-":
        return argument
    if not (line := sys.stdin.buffer.readline()):
        raise InputError("standard input is empty; write the code to it")
    return line.decode().rstrip("\r\n")


@main.command("list", params=[*_OWNER])
@json_option
def list_codes(as_json: bool, **owner: str) -> None:
    """List the codes of a user.

    \b
    Example:
      barring list acme sales anna
    """
    with opened_storage() as storage:
        codes = storage.list(Owner(**owner))
    if as_json:
        click.echo(orjson.dumps([code._asdict() for code in codes]))
    else:
        for code in codes:
            click.echo(one_line(f"{code.code:<14}  {code.description}").rstrip())


@main.command("show", params=[*_OWNER])
@click.argument("code")
@json_option
def show_code(code: str, as_json: bool, **owner: str) -> None:
    """Show one CODE of a user. If CODE is -, it is read from standard input.

    \b
    Example:
      barring show acme sales anna 4711
    """
    with opened_storage() as storage:
        found = storage.get(Owner(**owner), _code(code))
    if found is None:
        raise StorageError("this user has no such code")
    show(found._asdict(), as_json)


@main.command("add", params=[*_OWNER])
@click.argument("code")
@click.argument("description", default="")
def add_code(code: str, description: str, **owner: str) -> None:
    """Add a CODE to a user.

    If CODE is -, it is read from standard input, which other users cannot see.

    \b
    Examples:
      barring add acme sales anna 4711 "Night shift"
      echo 4711 | barring add acme sales anna - "Night shift"
    """
    schema = NewCode(Settings.from_environment().code_pattern)
    try:
        new = schema.load({"code": _code(code), "description": description})
    except ValidationError as error:
        field, messages = next(iter(error.messages_dict.items()))
        raise InputError(f"{field}: {messages[0]}") from None
    with opened_storage(create=True) as storage:
        storage.add(Owner(**owner), [new])
    audit("create", 1, Owner(**owner))


@main.command("remove", params=[*_OWNER])
@click.argument("codes", nargs=-1, required=True)
def remove_codes(codes: tuple[str, ...], **owner: str) -> None:
    """Remove CODES of a user.

    Each - is a code that is read from standard input. Codes that do not exist are ignored.

    \b
    Example:
      barring remove acme sales anna 4711 0815
    """
    with opened_storage() as storage:
        count = storage.remove(Owner(**owner), [_code(code) for code in codes])
    audit("delete", count, Owner(**owner))
    click.echo(f"{count} removed")
