"""Errors as JSON: code, status, message and, for an invalid body, errors."""

from flask.typing import ResponseReturnValue
from flask_smorest import Api
from orjson import OPT_NON_STR_KEYS
from werkzeug.exceptions import HTTPException, MethodNotAllowed, ServiceUnavailable

from barring import logs
from barring.storage.base import OutcomeUnknown, StorageUnavailable
from schemas.responses import Error

from .application import RETRY_AFTER, Response, current_request, json_response

_MESSAGES = {
    404: "There is nothing at this path; {}/openapi.json lists the paths.",
    405: "This path does not support the method; the header Allow lists those it supports.",
    500: "An internal error; the log describes it under the X-Request-ID of this response.",
}


class JSONApi(Api):
    """flask-smorest's Api, with a message in every error and the headers of HTTPExceptions."""

    ERROR_SCHEMA = Error
    DEFAULT_ERROR_RESPONSE_NAME = None  # Each operation lists its own errors.

    def handle_http_exception(self, error: HTTPException) -> ResponseReturnValue:
        if isinstance(error, MethodNotAllowed):
            error.valid_methods = sorted({"OPTIONS", *(error.valid_methods or ())})
            if current_request().method == "OPTIONS":
                # For anyone, without a role: the methods that the path supports.
                options = Response(status=204, headers={"Allow": ", ".join(error.valid_methods)})
                del options.headers["Content-Type"]
                return options
        payload, status, headers = super().handle_http_exception(error)
        message = _MESSAGES.get(status, "").format(current_request().root_path)
        payload.setdefault("message", message or error.description)
        own_headers = dict(error.get_headers())  # Allow and Retry-After, for example.
        del own_headers["Content-Type"]
        return json_response(payload, OPT_NON_STR_KEYS), status, own_headers | headers

    def handle_unavailable_storage(self, error: StorageUnavailable) -> ResponseReturnValue:
        """Respond with 503. The reason is only logged, because it may contain file names."""
        logs.emit("storage_unavailable", request_id=current_request().id, reason=str(error))
        message = f"The database is unavailable, and nothing was changed{error.hint}."
        if isinstance(error, OutcomeUnknown):
            message = "The database failed; the write may have happened. Read before retrying."
        return self.handle_http_exception(ServiceUnavailable(message, retry_after=RETRY_AFTER))
