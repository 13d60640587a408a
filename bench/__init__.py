"""The benchmark: this service beside others that do the same job, each as its users run it."""
