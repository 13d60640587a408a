"""What every request shares: the application, paths, bodies and errors."""
