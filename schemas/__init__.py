"""Marshmallow schemas of request and response bodies. They know no storage and no request."""
