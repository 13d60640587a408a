"""What all commands share: the group that reports errors, the database, progress and output."""

import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NoReturn

import click
import orjson
from marshmallow import ValidationError

from barring import __version__, logs
from barring.bulk.formats import InputError
from barring.domain import Owner
from barring.settings import Settings, SettingsError
from barring.storage import open_storage
from barring.storage.base import AlreadyExists, OutcomeUnknown, Storage, StorageError

BATCH = 10_000
"""Rows that are read or written between two updates of the progress bar."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Commands(click.Group):
    """Commands that report an expected error as one line on standard error.

    The exit status is 2 for wrong usage, 1 for any other error, otherwise 0.
    """

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command in the arguments, which by default are those of the program."""
        status, message = 1, ""
        try:
            # A file that is opened later, such as the database, would get the stream's descriptor.
            # tests/test_command_line.py: test_closed_stream_is_refused.
            if None in (sys.stdin, sys.stdout, sys.stderr):
                raise InputError("a standard stream is closed; redirect it to /dev/null")
            # Exit as on Ctrl-C, so that no file is left half-written.
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
            options["standalone_mode"] = False
            status = super().main(*args, **options) or 0
        except click.ClickException as error:
            status, message = error.exit_code, f"{error.format_message()} (see --help)"
        except click.Abort:
            message = "interrupted"
        except OutcomeUnknown as error:
            message = f"{error}; the change may or may not have happened; check before you retry"
        except (SettingsError, StorageError, AlreadyExists, InputError) as error:
            message = str(error)
        except ValidationError as error:  # By the schema of an argument.
            field, messages = next(iter(error.messages_dict.items()))
            message = f"{field}: {messages[0]}"
        except OSError as error:
            message = ": ".join(filter(None, (error.filename, error.strerror))) or str(error)
        except UnicodeError:
            message = "this shell's encoding cannot represent the text; try LC_ALL=C.UTF-8"
        if message:
            click.echo(f"barring: {one_line(message)}", err=True)
        sys.exit(status)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without arguments, show help. Raises UnicodeError for arguments that are not text."""
        "".join(args).encode()
        return super().parse_args(ctx, args or ["--help"])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="barring")
def main() -> None:
    """Serve and manage authorization codes for outgoing call barring.

    Settings are environment variables, BARRING_...; `barring check-config` shows them.
    """


def one_line(text: str) -> str:
    """Replace line ends and terminal control characters in a text by spaces."""
    return "".join(character if character.isprintable() else " " for character in text)


@contextmanager
def opened_storage(*, create: bool = False) -> Iterator[Storage]:
    """The storage of BARRING_DATABASE_URL; only with `create` is a missing database created."""
    with closing(open_storage(Settings.from_environment().database_url)) as storage:
        storage.prepare(create=create)
        yield storage


def progress(label: str, **options: Any) -> Any:
    """click's progress bar, with click's options, shown only on a terminal."""
    hidden = not sys.stderr.isatty()
    return click.progressbar(label=label, file=sys.stderr, hidden=hidden, **options)


def audit(operation: str, owner: Owner | None = None, **details: Any) -> None:
    """Log an operation as the service does, with the role `operator`."""
    whose = {"owner": owner.ids()} if owner else {}
    logs.emit("audit", role="operator", **whose, operation=operation, **details)


def show(values: dict[str, Any], as_json: bool) -> None:
    """Print named values, as JSON or one per line."""
    if as_json:
        click.echo(orjson.dumps(values))
    else:
        width = max(map(len, values))
        for name, value in values.items():
            click.echo(one_line(f"{name:<{width}}  {value}").rstrip())
