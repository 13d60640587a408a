"""Parameters, headers and examples of the OpenAPI document."""

OWNER = [
    {"in": "path", "name": "tenant_id", "description": "The tenant", "example": "footenant"},
    {"in": "path", "name": "group_id", "description": "The tenant's group", "example": "foogroup"},
    {"in": "path", "name": "user_id", "description": "The group's user", "example": "foouser"},
]
CODE = [{"in": "path", "name": "code", "description": "The code", "example": "03"}]
_NEW = [{"code": code, "description": f"test_code_{code}"} for code in ("03", "04", "05")]
NEW_CODES = {
    "a list of codes": {"value": {"authCodes": _NEW[:2]}},
    "one code": {"value": _NEW[2]},
}
# Not 03, which the operations on one code use. They come later on the page.
CODES_TO_REMOVE = {"a list of codes": {"value": {"authCodes": [{"code": "04"}, {"code": "05"}]}}}
LOCATION = {
    "description": "The path of the new code; not sent for a list",
    "schema": {"type": "string", "format": "uri-reference"},
}
