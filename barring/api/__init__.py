"""The resources of the HTTP API, a module for each."""
