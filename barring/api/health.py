"""Whether the process lives, whether it can do its work, and its figures where they are kept."""

from flask import Blueprint, Response

from barring.metrics import CONTENT_TYPE, Metrics
from barring.storage.base import Storage


def blueprint(storage: Storage, metrics: Metrics | None) -> Blueprint:
    """/health/live, /health/ready and, given metrics, /metrics. Public, and without details."""
    health = Blueprint("health", __name__)

    @health.get("/health/live")
    def live() -> dict[str, str]:
        """200 as long as the process answers."""
        return {"status": "live"}

    @health.get("/health/ready")
    def ready() -> dict[str, str]:
        """200 if the database can be read and written, otherwise the 503 of every request."""
        storage.check_ready()
        return {"status": "ready"}

    if metrics:

        @health.get("/metrics")
        def figures() -> Response:
            """The figures of all workers."""
            return Response(metrics.render(), content_type=CONTENT_TYPE)

    return health
