"""Schemathesis: the running service keeps every word of its own OpenAPI document."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

from tests.service import ROOT, TENANT_ADMIN, Service

pytestmark = pytest.mark.long

SEED = 1
CONFIG = """
seed = {seed}
hooks = "tests.test_schemathesis"
continue-on-failure = true
cache.enabled = false
generation.database = "none"
generation.max-examples = 100
# Every check is on by itself, except this one, which asks for its limit in seconds.
checks.max_response_time = 10
# An operation whose document has no example gets one made up.
phases.examples.fill-missing = true
warnings.fail-on = true
# The caller sends all requests; what it reads, the stranger must not get to read.
auth.wfc.path = "{callers}"
auth.wfc.user = "caller"
auth.wfc.peers = ["caller", "stranger"]
"""
CALLERS = {
    "caller": TENANT_ADMIN,
    "stranger": {**TENANT_ADMIN, "X-Tenant-Id": "strange tenant"},
}
PHASES = ("examples", "coverage", "fuzzing", "stateful")
TAKEN = re.compile(r"This code exists already\.|Repeats the code of item \d+\.")


@schemathesis.hook
def filter_failure(
    context: Any, failure: Exception, case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    """Keep every failure but one: a valid body was refused for codes that are taken, only.

    The contract wants 400 for a code that exists or that stands twice in a list. No schema can
    say so: to Schemathesis the body is valid, and 400 is not among the answers it may get.
    """
    return not (isinstance(failure, RejectedPositiveData) and _only_taken(response))


def _only_taken(response: schemathesis.Response) -> bool:
    if response.status_code != 400:
        return False
    faults = list(_texts(response.json().get("errors", {})))
    return bool(faults) and all(map(TAKEN.fullmatch, faults))


def _texts(errors: Any) -> Iterator[str]:
    """The texts in the nested objects and lists of an answer's `errors`."""
    if isinstance(errors, str):
        yield errors
    else:
        for inner in errors.values() if isinstance(errors, dict) else errors:
            yield from _texts(inner)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration file, in a folder of its own."""
    folder = tmp_path_factory.mktemp("schemathesis")
    callers = [
        {"name": name, "fixedHeaders": [{"name": key, "value": headers[key]} for key in headers]}
        for name, headers in CALLERS.items()
    ]
    (folder / "callers.json").write_text(json.dumps({"auth": callers}))
    file = folder / "schemathesis.toml"
    file.write_text(CONFIG.format(seed=SEED, callers=folder / "callers.json"))
    return file


@pytest.fixture(scope="module")
def report(service: Service, config: Path) -> dict[str, Any]:
    """The report of one run of all checks in all phases, and what the run printed: `output`."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"]
    run = subprocess.run(
        [*command, f"--phases={','.join(PHASES)}", "--checks=all", "--report-json-path=report"],
        cwd=config.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    written = config.with_name("report")
    assert written.exists(), run.stdout
    return {**json.loads(written.read_text()), "output": run.stdout}


def test_no_answer_breaks_the_document(report: dict[str, Any]) -> None:
    """No check fails in any phase, and Schemathesis has nothing to warn of."""
    assert report["exit_code"] == 0, report["output"]
    statuses = {phase: outcome["status"] for phase, outcome in report["phases"].items()}
    assert statuses == dict.fromkeys(PHASES, "success")


def test_every_operation_accepts_what_the_document_allows(report: dict[str, Any]) -> None:
    """Each operation answers valid requests made up by Schemathesis with success."""
    assert report["operations"]["tested"] == report["operations"]["total"] > 0
    for operation, phases in report["valid_rates"].items():
        assert any(rate["accepted"] for rate in phases.values()), operation


def test_no_sequence_of_requests_breaks_the_document(service: Service, config: Path) -> None:
    """No check fails while codes are created, listed, read, changed and removed in any order."""
    # The command's own stateful phase ends at the first replay that meets codes of an earlier
    # scenario. Here each scenario leaves none behind, so that all of them run.
    schema = schemathesis.openapi.from_url(
        f"{service.url}/openapi.json", config=schemathesis.Config.from_path(config)
    )
    with service.client(**TENANT_ADMIN) as client:

        @hypothesis.seed(SEED)
        class Scenario(schema.as_state_machine()):  # type: ignore[misc]  # Made at run time.
            def setup(self) -> None:
                self.owners: set[str] = set()

            def after_call(
                self, response: schemathesis.Response, case: schemathesis.Case[Any]
            ) -> None:
                super().after_call(response, case)
                if case.method == "POST" and response.status_code == 201:
                    self.owners.add(case.formatted_path)

            def teardown(self) -> None:
                for path in self.owners:
                    codes = client.get(path).json()
                    if codes["authCodes"]:
                        client.request("DELETE", path, json=codes).raise_for_status()

        defaults = Scenario.TestCase.settings
        Scenario.run(settings=hypothesis.settings(defaults, max_examples=200, database=None))
