"""Commands that verify codes, and show and lift lock-outs."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from barring.domain import Owner
from barring.settings import Settings
from barring.storage.base import StorageError
from barring.verification.verifier import Refused, Verifier
from schemas.verification import dump, dump_lockout

from .codes import USER, read_code
from .common import audit, json_option, main, opened_storage, show


@contextmanager
def _verifier() -> Iterator[Verifier]:
    settings = Settings.from_environment()
    with opened_storage() as storage:
        yield Verifier(storage, settings.lockout_attempts, settings.lockout_seconds)


@main.command("verify", params=[*USER])
@click.argument("code")
@json_option
def verify_code(code: str, as_json: bool, **ids: str) -> None:
    """Say whether a CODE lets a user call. Refused codes count, and may lock the user out.

    If CODE is -, it is read from standard input. The exit status is 0 only if the user may call.

    \b
    Example:
      echo 4711 | barring verify acme sales anna -
    """
    user = Owner(**ids)
    with _verifier() as verifier:
        try:
            owner, found = verifier.verify(user, read_code(code))
        except Refused as error:
            audit(error.outcome, user)
            raise StorageError(str(error)) from None
    audit("verified", user, level=owner.level, description=found.loggable_description())
    show(dump(owner, found), as_json)


@main.command("lockout", params=[*USER])
@json_option
def show_lockout(as_json: bool, **ids: str) -> None:
    """Show the failed verifications of a user, and the end of the lock.

    \b
    Example:
      barring lockout acme sales anna
    """
    with _verifier() as verifier:
        show(dump_lockout(*verifier.status(Owner(**ids))), as_json)


@main.command("unlock", params=[*USER])
def unlock(**ids: str) -> None:
    """Lift the lock of a user, and forget the failures. It is no error if there are none.

    \b
    Example:
      barring unlock acme sales anna
    """
    with _verifier() as verifier:
        if verifier.unlock(Owner(**ids)):
            audit("unlocked", Owner(**ids))
