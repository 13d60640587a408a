"""The storage engine for an SQLite file."""
