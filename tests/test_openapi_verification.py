"""What the OpenAPI document says of verification and lock-out."""

from pathlib import Path
from typing import Any

import pytest

from tests.test_platforms import GATEWAY
from tests.test_token import AUDIENCE, EC, ISSUER, public

COMMON = {"400", "401", "403", "404", "500", "503"}
STATUSES = {
    "verifyAuthorizationCode": COMMON | {"200", "408", "413", "415", "429"},
    "getLockout": COMMON | {"200"},
    "deleteLockout": COMMON | {"200"},
}


def settings_of(mode: str, folder: Path) -> dict[str, str]:
    """The settings that a mode needs."""
    (folder / "key").write_text(public(EC))
    token = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_key_file": str(folder / "key")}
    needed = {"gateway": {"gateway_secret": GATEWAY}, "jwt": {"jwt_algorithm": "ES256", **token}}
    return needed.get(mode, {})


def described(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The operations on verification and lock-out, by their ids."""
    return {
        operation["operationId"]: operation
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters" and operation["operationId"] in STATUSES
    }


@pytest.mark.parametrize("mode", ["local", "gateway", "jwt"])
def test_verification_has_two_ways_to_authenticate(
    make_client: Any, tmp_path: Path, mode: str
) -> None:
    """Verification takes what the mode asks for, or a platform's secret; the lock-out does not."""
    client = make_client(auth=mode, **settings_of(mode, tmp_path))
    document = client.get("/openapi.json").json
    schemes = document["components"]["securitySchemes"]
    assert (schemes["platform"]["type"], schemes["platform"]["scheme"]) == ("http", "bearer")
    by_mode: dict[str, list[str]] = {name: [] for name in schemes if name != "platform"}
    operations = described(document)
    assert operations["verifyAuthorizationCode"]["security"] == [by_mode, {"platform": []}]
    assert "Call Platform" in operations["verifyAuthorizationCode"]["description"]
    for name in ("getLockout", "deleteLockout"):
        assert operations[name]["security"] == [by_mode]


def test_every_answer_is_described(make_client: Any) -> None:
    """Each status has an entry that can be resolved; a lock has Retry-After and an example."""
    document = make_client().get("/openapi.json").json
    operations = described(document)
    assert {name: {*each["responses"]} for name, each in operations.items()} == STATUSES
    for operation in operations.values():
        for entry in operation["responses"].values():
            name = entry.get("$ref", "").rpartition("/")[2]
            response = document["components"]["responses"][name] if name else entry
            content = response["content"]["application/json"]
            schema = content["schema"]["$ref"].rpartition("/")[2]
            assert document["components"]["schemas"][schema]
    locked = document["components"]["responses"]["Error429"]
    assert locked["headers"]["Retry-After"]["required"]
    assert locked["content"]["application/json"]["example"]["code"] == 429


def test_bodies_are_described_as_they_are(make_client: Any) -> None:
    """The schemas require what every response has, and leave the class of service optional."""
    schemas = make_client().get("/openapi.json").json["components"]["schemas"]
    assert {*schemas["Verification"]["required"]} == {"level", "description"}
    assert [*schemas["Verification"]["properties"]] == ["level", "classOfService", "description"]
    assert schemas["Verification"]["properties"]["level"]["enum"] == ["user", "group", "tenant"]
    assert {*schemas["Lockout"]["required"]} == {"failures", "lockedUntil"}
    assert {*schemas["Lockout"]["properties"]["lockedUntil"]["type"]} == {"string", "null"}
    code = schemas["CodeToVerify"]["properties"]["code"]
    assert not {"minLength", "maxLength", "pattern"} & code.keys()
