"""The storage engine for a PostgreSQL database."""
