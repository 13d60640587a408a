"""The application factory: composes the service and does nothing else."""

from flask import Flask

from barring import access, metrics
from barring.api import codes, health, lockout, verification
from barring.api.docs import examples, openapi, swagger
from barring.api.levels import LEVELS
from barring.http import paths
from barring.http.application import Application
from barring.settings import Settings
from barring.storage import open_storage
from barring.verification.verifier import Verifier
from schemas.codes import NewCodes


def create_app(settings: Settings | None = None) -> Flask:
    """Create the service with these settings, or by default with those of the environment.

    Raises SettingsError or StorageError, with a one-line message, if the service cannot start.
    """
    settings = settings or Settings.from_environment()
    storage = open_storage(settings.database_url)
    storage.prepare()
    enabled_metrics = metrics.Metrics(storage, settings.workers) if settings.metrics else None
    app = Application("barring", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=settings.max_body_bytes, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.extensions.update({"barring.storage": storage, "barring.metrics": enabled_metrics})
    app.extensions["barring.access"] = mode = access.MODES[settings.auth](settings)
    paths.init_app(app, settings.url_prefix)
    api = openapi.create_api(app, mode, settings.url_prefix)
    new_codes = NewCodes(settings.code_pattern)
    for level in LEVELS:
        blueprint = codes.blueprint(level, storage, new_codes)
        api.register_blueprint(blueprint, parameters=examples.OWNER[: level.path.count("<")])
    verifier = Verifier(storage, settings.lockout_attempts, settings.lockout_seconds)
    for resource in (verification, lockout):
        api.register_blueprint(resource.blueprint(verifier), parameters=examples.OWNER)
    app.register_blueprint(health.blueprint(storage, enabled_metrics))
    app.register_blueprint(swagger.blueprint)
    return app
