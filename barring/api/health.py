"""Liveness, readiness and metrics endpoints."""

from flask import Blueprint, Response

from barring.metrics import Metrics
from barring.storage.base import Storage


def blueprint(storage: Storage, metrics: Metrics | None) -> Blueprint:
    """/health/live, /health/ready and, with metrics, /metrics. Public; they show no details."""
    health = Blueprint("health", __name__)

    @health.get("/health/live")
    def live() -> dict[str, str]:
        """Respond with 200 while the process runs."""
        return {"status": "live"}

    @health.get("/health/ready")
    def ready() -> dict[str, str]:
        """Respond with 200 if the database can be read and written, otherwise with 503."""
        storage.check_ready()
        return {"status": "ready"}

    if metrics:
        # Here and not above: a service without metrics starts faster.
        from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

        @health.get("/metrics")
        def figures() -> Response:
            """The metrics of all workers."""
            return Response(generate_latest(metrics), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return health
