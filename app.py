"""The application factory: composes the service and does nothing else."""

from flask import Flask

from barring import access, metrics
from barring.api import codes, health
from barring.api.docs import openapi, swagger
from barring.http import paths
from barring.http.application import Application
from barring.settings import Settings
from barring.storage import open_storage
from schemas.codes import NewCodes


def create_app(settings: Settings | None = None) -> Flask:
    """The service as `settings` say, by default those of the environment.

    Raises SettingsError or StorageError, each with one line to show, when it cannot serve.
    """
    settings = settings or Settings.from_environment()
    storage = open_storage(settings.database_url)
    storage.prepare()
    figures = metrics.enable(storage) if settings.metrics else None
    app = Application("barring", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=settings.max_body_bytes, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.extensions["barring.storage"] = storage
    paths.init_app(app)
    api = openapi.create_api(app, access.init_app(app, settings))
    api.register_blueprint(
        codes.blueprint(storage, NewCodes(settings.code_pattern)), parameters=codes.PARAMETERS
    )
    app.register_blueprint(health.blueprint(storage, figures))
    app.register_blueprint(swagger.blueprint)
    return app
