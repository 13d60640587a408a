"""The guard before every protected view, and the one decision about rights."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from flask import current_app, g
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint
from webargs.flaskparser import abort

from barring.domain import Owner

from .caller import Role
from .mode import Mode

EXTENSION = "barring.access"
"""Where an application keeps its mode."""

View = Callable[..., ResponseReturnValue]


def requires(least: Role) -> Callable[[View], View]:
    """Let only callers of at least the role `least` whose scope covers the owner reach the view.

    The view gets the `owner` that its path names, in place of the three ids. Goes outermost, so
    that without the right a caller learns nothing, not even whether a body was valid. Writes the
    security entry and the role into the OpenAPI document.
    """

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(tenant_id: str, group_id: str, user_id: str, **rest: Any) -> Any:
            owner = Owner(tenant_id, group_id, user_id)
            mode: Mode = current_app.extensions[EXTENSION]
            g.caller = caller = mode.caller()
            # First the caller's rank, then the caller's scope.
            if caller.role < least:
                abort(403, message=f"This needs at least the role {least.title}.")
            if not caller.covers(owner):
                abort(403, message="This user is outside the caller's scope.")
            return view(owner=owner, **rest)

        needs = f"Needs at least the role {least.title}."
        guarded.__doc__ = f"{inspect.getdoc(view)}\n\n{needs}"
        guarded.least_role = least  # type: ignore[attr-defined]
        return cast(View, Blueprint.doc(security=[{"caller": []}])(guarded))

    return guard
