"""`python -m barring`; also the command `barring` of the wheel and of the binary."""

import sys

try:
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until all is imported, let Ctrl-C end the process: some imports cannot be interrupted
        # without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    if sys.argv[1:2] == ["serve"]:
        # Before other imports: a module imported unpatched, above all ssl, would block the server.
        from gevent import monkey

        monkey.patch_all()

    from barring.cli import main
except KeyboardInterrupt:  # Importing `signal` takes a while, too.
    sys.exit("barring: interrupted")


def run() -> None:
    """Run the command that the arguments name."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main(prog_name="barring")


if __name__ == "__main__":
    run()
