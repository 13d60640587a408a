"""The decorator that protects views: it alone decides who may call them."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import current_app, g
from flask_smorest import Blueprint
from webargs.flaskparser import abort

from barring.domain import Owner

from .base import Mode
from .roles import Role


def requires(role: Role, *others: Role) -> Callable[[Callable[..., Any]], Any]:
    """Let only callers with this role, a higher one or one of the `others` call the view.

    They may do so only within their scope.

    The view gets one `owner` instead of the ids in its path. This must be the outermost
    decorator, so that a refused caller learns nothing, not even whether its body was valid. Adds
    the security schemes and the role to the OpenAPI document.
    """

    def guard(view: Callable[..., Any]) -> Any:
        least = " or ".join(each.title for each in (role, *others))

        @wraps(view)
        def guarded(tenant_id: str, group_id: str = "", user_id: str = "", **rest: Any) -> Any:
            owner = Owner(tenant_id, group_id, user_id)
            mode: Mode = current_app.extensions["barring.access"]
            g.caller = caller = mode.platforms.caller() or mode.caller()
            if caller.role.rank < role.rank and caller.role not in others:
                abort(403, message=f"This needs at least the role {least}.")
            if not caller.may_reach(owner):
                abort(403, message=f"This {owner.level} is outside the caller's scope.")
            return view(owner=owner, **rest)

        guarded.__doc__ = f"{inspect.getdoc(view)}\n\nNeeds at least the role {least}."
        guarded.required_role = role  # type: ignore[attr-defined]
        # A placeholder: the OpenAPI document gets the schemes of the mode in its place.
        schemes = ["caller", *("platform" for other in others if other is Role.CALL_PLATFORM)]
        return Blueprint.doc(security=[{scheme: []} for scheme in schemes])(guarded)

    return guard
