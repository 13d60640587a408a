"""`python -m barring`; also the command `barring` of the wheel and of the binary."""

import sys

if sys.argv[1:2] == ["serve"]:
    # Before other imports: a module imported unpatched, above all ssl, would block the server.
    from gevent import monkey

    monkey.patch_all()

from barring.cli import main


def run() -> None:
    """Run the command that the arguments name."""
    main(prog_name="barring")


if __name__ == "__main__":
    run()
