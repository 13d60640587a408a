"""The decorator that protects views. Here alone it is decided who may call one."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import current_app, g
from flask_smorest import Blueprint
from webargs.flaskparser import abort

from barring.domain import Owner

from .caller import Role
from .mode import Mode

EXTENSION = "barring.access"
"""Where an application keeps its mode."""


def requires(role: Role) -> Callable[[Callable[..., Any]], Any]:
    """Let only callers with this role or a higher one call the view, and only within their scope.

    The view gets the `owner` that its path names instead of the three ids. This must be the
    outermost decorator, so that others learn nothing, not even whether their body was valid. Adds
    the security schemes and the role to the OpenAPI document.
    """

    def guard(view: Callable[..., Any]) -> Any:
        @wraps(view)
        def guarded(tenant_id: str, group_id: str, user_id: str, **rest: Any) -> Any:
            owner = Owner(tenant_id, group_id, user_id)
            mode: Mode = current_app.extensions[EXTENSION]
            g.caller = caller = mode.caller()
            if caller.role.rank < role.rank:
                abort(403, message=f"This needs at least the role {role.title}.")
            if not caller.may_reach(owner):
                abort(403, message="This user is outside the caller's scope.")
            return view(owner=owner, **rest)

        needs = f"Needs at least the role {role.title}."
        guarded.__doc__ = f"{inspect.getdoc(view)}\n\n{needs}"
        guarded.required_role = role  # type: ignore[attr-defined]
        return Blueprint.doc(security=[{"caller": []}])(guarded)

    return guard
