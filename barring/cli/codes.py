"""Commands on the codes of an owner, directly on the database."""

import sys
from functools import partial

import click
import orjson

from barring.bulk.formats import InputError
from barring.domain import Owner
from barring.settings import Settings
from barring.storage.base import StorageError
from schemas.codes import CodeChanges, NewCode, dump
from schemas.rules import GROUP_MISSING, OWNER_ID, TextRule

from .common import audit, json_option, main, one_line, opened_storage, show


def _id(rule: TextRule, context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not rule.holds(value):
        raise click.BadParameter(rule.message)
    if parameter.name == "user" and value and not context.params["group"]:
        raise click.BadParameter(GROUP_MISSING, param_hint="'GROUP'")
    return value


USER = [click.Argument([name], callback=partial(_id, OWNER_ID)) for name in Owner._fields]
_OR_EMPTY = partial(_id, OWNER_ID.or_empty())
_OWNER = [USER[0], *(click.Argument([name], callback=_OR_EMPTY) for name in Owner._fields[1:])]


def read_code(argument: str) -> str:
    """The code in an argument, or from standard input if the argument is `-`."""
    if argument != "-":
        return argument
    if not (line := sys.stdin.buffer.readline()):
        raise InputError("standard input is empty; write the code to it")
    return line.decode().rstrip("\r\n")


@main.command("list", params=[*_OWNER])
@json_option
def list_codes(as_json: bool, **owner: str) -> None:
    """List the codes of a user, group or tenant.

    An empty USER means the group; an empty GROUP and USER mean the tenant.

    \b
    Examples:
      barring list acme sales anna
      barring list acme sales ""
    """
    with opened_storage() as storage:
        codes = storage.list(Owner(**owner))
    if as_json:
        click.echo(orjson.dumps([*map(dump, codes)]))
    else:
        for code in codes:
            service = code.class_of_service and f"  [{code.class_of_service}]"
            click.echo(one_line(f"{code.code:<14}  {code.description}{service}").rstrip())


@main.command("show", params=[*_OWNER])
@click.argument("code")
@json_option
def show_code(code: str, as_json: bool, **owner: str) -> None:
    """Show one CODE of an owner. If CODE is -, it is read from standard input.

    \b
    Example:
      barring show acme sales anna 4711
    """
    with opened_storage() as storage:
        found = storage.get(Owner(**owner), read_code(code))
    if found is None:
        raise StorageError("there is no such code")
    show(dump(found), as_json)


@main.command("add", params=[*_OWNER])
@click.argument("code")
@click.argument("description", default="")
@click.option("--class-of-service", "service", metavar="TEXT", help="Which calls the code permits.")
def add_code(code: str, description: str, service: str | None, **owner: str) -> None:
    """Add a CODE to an owner.

    If CODE is -, it is read from standard input, which other users cannot see.

    \b
    Examples:
      barring add acme sales anna 4711 "Night shift"
      echo 4711 | barring add acme sales anna - "Night shift"
      barring add acme sales "" 4712 "Everyone in sales" --class-of-service international
    """
    schema = NewCode(Settings.from_environment().code_pattern)
    given = {"code": read_code(code), "description": description}
    new = schema.load(given if service is None else {**given, "classOfService": service})
    with opened_storage(create=True) as storage:
        storage.add(Owner(**owner), [new])
    audit("create", Owner(**owner), count=1)


@main.command("describe", params=[*_OWNER])
@click.argument("code")
@click.option("--description", metavar="TEXT", help="The new description.")
@click.option("--class-of-service", "service", metavar="TEXT", help='The new one; "" clears it.')
def describe_code(code: str, description: str | None, service: str | None, **owner: str) -> None:
    """Change the description or the class of service of a CODE.

    If CODE is -, it is read from standard input.

    \b
    Example:
      barring describe acme sales anna 4711 --description "Day shift"
    """
    given: dict[str, str | None] = {} if description is None else {"description": description}
    given |= {} if service is None else {"classOfService": service or None}
    if not given:
        raise click.UsageError("add --description, --class-of-service or both")
    changes = CodeChanges().load(given)
    with opened_storage() as storage:
        changed = storage.change(Owner(**owner), read_code(code), changes)
    if changed is None:
        raise StorageError("there is no such code")
    audit("change", Owner(**owner), count=1)


@main.command("remove", params=[*_OWNER])
@click.argument("codes", nargs=-1, required=True)
def remove_codes(codes: tuple[str, ...], **owner: str) -> None:
    """Remove CODES of an owner.

    Each - is a code that is read from standard input. Codes that do not exist are ignored.

    \b
    Example:
      barring remove acme sales anna 4711 0815
    """
    with opened_storage() as storage:
        removed = storage.remove(Owner(**owner), [read_code(code) for code in codes])
    audit("delete", Owner(**owner), count=len(removed))
    click.echo(f"{len(removed)} removed")
