"""Flask routes that return fixed dicts: the cost of Flask alone."""

from flask import Flask

app = Flask(__name__)

CODES = (
    "/api/v1/tenants/<tenant_id>/groups/<group_id>/users/<user_id>"
    "/services/outgoing_call_barring/codes/"
)


@app.get(CODES)
def list_codes(tenant_id: str, group_id: str, user_id: str) -> dict[str, object]:
    """A list of ten, always the same."""
    return {"authCodes": [{"code": f"0000000{n}", "description": f"Desk {n}"} for n in range(10)]}


@app.get(CODES + "<code>/")
def get_code(tenant_id: str, group_id: str, user_id: str, code: str) -> dict[str, str]:
    """One code, always the same."""
    return {"code": "00000001", "description": "Desk 1"}
