"""The statements of SQL that mean the same to every engine."""

EXPORT = """
    SELECT tenant_id, group_id, user_id, code, description FROM authorization_codes
    ORDER BY tenant_id, group_id, user_id, code"""
READ_A_LITTLE = "SELECT 1 FROM authorization_codes LIMIT 1"
COUNTS = """
    SELECT (SELECT count(*) FROM authorization_codes), count(*), count(DISTINCT tenant_id)
    FROM (SELECT DISTINCT tenant_id, group_id, user_id FROM authorization_codes) AS users"""
"""How many codes, users and tenants there are."""

# SQLite would take ON for the beginning of a join's condition, but for the WHERE.
_ADD = """
    INSERT INTO authorization_codes (tenant_id, group_id, user_id, code, description)
    SELECT tenant_id, group_id, user_id, code, description FROM staged
    WHERE true ORDER BY tenant_id, group_id, user_id, code
    ON CONFLICT (tenant_id, group_id, user_id, code) DO """
ADD = f"{_ADD} NOTHING"
REPLACE = f"{_ADD} UPDATE SET description = excluded.description"
"""Store the rows that are staged, and give a code that exists no or another description."""
