"""`python -m barring`: the command line."""

from barring.cli import main

main(prog_name="barring")
