"""Files of authorization codes: formats, reading and writing."""
