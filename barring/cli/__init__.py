"""The command line, `barring`: a module of commands for each thing that one works on."""

from . import codes, copy, database, import_export, server
from .common import main

__all__ = ["codes", "copy", "database", "import_export", "main", "server"]
