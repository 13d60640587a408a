"""The command line, `barring`: one module of commands per object."""

from . import codes, copy, database, import_export, server, verification
from .common import main

__all__ = ["codes", "copy", "database", "import_export", "main", "server", "verification"]
