"""`python -m barring`, and the command of the wheel and of the binary."""

import sys

if sys.argv[1:2] == ["serve"]:
    # Before anything else is imported: what was, the ssl module above all, would block the server.
    from gevent import monkey

    monkey.patch_all()

from barring.cli import main


def run() -> None:
    """Run the command that the program's arguments ask for."""
    main(prog_name="barring")


if __name__ == "__main__":
    run()
