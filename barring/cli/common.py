"""What all commands share: the storage, the errors, the progress and the output."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
import orjson

from barring import __version__, logs
from barring.bulk.reader import InputError
from barring.domain import Owner
from barring.settings import Settings, SettingsError
from barring.storage import open_storage
from barring.storage.base import AlreadyExists, OutcomeUnknown, Storage, StorageError

AT_ONCE = 10_000
"""Rows that are read, told and passed on together."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Commands(click.Group):
    """Commands whose expected errors are one line on standard error.

    The exit status is 2 for a command that is put wrongly, 1 for any other error, and else 0.
    """

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command that the arguments, by default the program's, ask for."""
        status, message = 1, ""
        try:
            options["standalone_mode"] = False
            if None in (sys.stdin, sys.stdout, sys.stderr):
                # A file that is opened next, the database say, would take the stream's place.
                raise InputError("a standard stream is closed; let it be /dev/null")
            signal.signal(signal.SIGTERM, _end)
            status = super().main(*args, **options) or 0
        except click.ClickException as error:
            status, message = error.exit_code, f"{error.format_message()} (see --help)"
        except click.Abort:
            message = "interrupted"
        except OSError as error:
            message = ": ".join(filter(None, (error.filename, error.strerror))) or str(error)
        except UnicodeError:
            message = "a text is not in this shell's encoding; try LC_ALL=C.UTF-8"
        except (SettingsError, StorageError, AlreadyExists, InputError) as error:
            message = str(error)
            if isinstance(error, OutcomeUnknown):
                message += "; this may or may not have happened, so look before you repeat it"
        if message:
            click.echo(f"barring: {one_line(message)}", err=True)
        sys.exit(status)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without arguments, help; arguments that are not text raise UnicodeError."""
        "".join(args).encode()
        return super().parse_args(ctx, args or ["--help"])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="barring")
def main() -> None:
    """Serve authorization codes for outgoing call barring, and look after them.

    Every setting is an environment variable, BARRING_...; `barring check-config` shows them.
    """


def _end(number: int, _: object) -> NoReturn:
    """End as by Ctrl-C, so that nothing is left half-written."""
    sys.exit(128 + number)


def one_line(text: str) -> str:
    """A text with a space for what would move the cursor of a terminal, or do worse."""
    return "".join(character if character.isprintable() else " " for character in text)


@contextmanager
def opened_storage(*, create: bool = False) -> Iterator[Storage]:
    """The storage of BARRING_DATABASE_URL; a missing database is made with `create` only."""
    storage = open_storage(Settings.from_environment().database_url)
    try:
        if create:
            storage.prepare()
        elif not storage.exists():
            raise StorageError(
                f"{storage}: there is no database yet; serve, add, import and restore make it, "
                "and BARRING_DATABASE_URL says where it is"
            )
        yield storage
    finally:
        storage.close()


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, told how many of how many parts are done; in a pipe it is silent."""
    with click.progressbar(
        length=0, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:

        def update(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield update


def audit(operation: str, count: int, owner: Owner | None = None) -> None:
    """Say in the log, as the service does, what the operator at this shell did."""
    whose = {"owner": owner._asdict()} if owner else {}
    logs.emit("audit", role="operator", **whose, operation=operation, count=count)


def show(values: dict[str, Any], as_json: bool) -> None:
    """Print named values, as JSON or a line each."""
    if as_json:
        click.echo(orjson.dumps(values))
    else:
        width = max(map(len, values))
        for name, value in values.items():
            click.echo(one_line(f"{name:<{width}}  {value}").rstrip())
