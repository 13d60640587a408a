"""`pytest tests/faults --long` injects as many faults as the promise is measured by."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where pytest is given this directory; elsewhere the runs are short."""
    parser.addoption("--long", action="store_true", help="inject faults at full length")


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether this is the long run."""
    return bool(request.config.getoption("--long", default=False))
