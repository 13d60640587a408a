"""Marshmallow schemas of request and response bodies, independent of storage and requests."""
