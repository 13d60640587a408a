"""`python -m barring`: the command line."""

from .cli import main

main(prog_name="barring")
