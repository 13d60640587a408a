"""The benchmark: this service and others that do the same job, each run as its users run it."""
