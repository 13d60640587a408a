"""The shapes of what goes in and out over HTTP. Marshmallow only: no storage, no request."""
