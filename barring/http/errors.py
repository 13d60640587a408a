"""Every error as JSON in one shape: code, status, message, and errors where there is a list."""

from typing import Any

from flask import Response, jsonify
from flask_smorest import Api
from werkzeug.exceptions import HTTPException, MethodNotAllowed, ServiceUnavailable

from barring import logs
from barring.storage.base import OutcomeUnknown, StorageUnavailable
from schemas.errors import Error

from .application import RETRY_AFTER, current_request

_MESSAGES = {
    404: "Nothing is at this path; /openapi.json lists the paths.",
    405: "This path does not take that method; the header Allow lists those it takes.",
    500: "An unexpected fault, which the log describes under this answer's X-Request-ID.",
}


class JSONErrors(Api):
    """flask-smorest's Api, with a message in every error and the headers that it drops."""

    ERROR_SCHEMA = Error

    def handle_http_exception(self, error: HTTPException) -> Response:
        data: dict[str, Any] = getattr(error, "data", {})
        payload = {
            "code": error.code,
            "status": error.name,
            "message": data.get("message") or _MESSAGES.get(error.code or 500, error.description),
        }
        if "errors" in data:
            payload["errors"] = data["errors"]
        response = jsonify(payload)
        response.status_code = error.code or 500
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            error.valid_methods = sorted(error.valid_methods)  # A set's order is any.
        response.headers.update(  # Allow, Retry-After and their like.
            {name: value for name, value in error.get_headers() if name != "Content-Type"}
        )
        response.headers.update(data.get("headers", {}))
        return response

    def handle_unavailable_storage(self, error: StorageUnavailable) -> Response:
        """503, with the reason in the log alone: it names files."""
        logs.emit("storage_unavailable", request_id=current_request().id, reason=str(error))
        message = "The database cannot answer now, and nothing was changed; try again."
        if isinstance(error, OutcomeUnknown):
            message = (
                "The database failed: this may or may not have happened; read before you retry."
            )
        return self.handle_http_exception(ServiceUnavailable(message, retry_after=RETRY_AFTER))
