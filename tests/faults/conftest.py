"""`pytest tests/faults --full-length` injects as many faults as the promise is measured by."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where pytest is given this directory; elsewhere the runs are short."""
    parser.addoption("--full-length", action="store_true", help="inject faults at full length")


@pytest.fixture
def full_length(request: pytest.FixtureRequest) -> bool:
    """Whether to inject faults at full length."""
    return bool(request.config.getoption("--full-length", default=False))
