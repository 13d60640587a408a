"""The command line, `barring`: a module of commands for each thing that one works on."""

from . import bulk, codes, copy, database, server
from .common import main

__all__ = ["bulk", "codes", "copy", "database", "main", "server"]
