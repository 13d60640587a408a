"""The columns of the table, and the SQL that all engines share, with ? for a parameter."""

from barring.domain import AuthorizationCode

OWNER = "tenant_id, group_id, user_id"
KEY = f"{OWNER}, code"
COLUMNS = f"{OWNER}, {', '.join(AuthorizationCode._fields)}"
"""All columns, in the order of a Row. Those of a code are named as its fields are."""

# NULL, as in rows that are older than the column, is read as the empty text.
READ = ", ".join(f"coalesce({field}, '')" for field in AuthorizationCode._fields)
LIST = f"SELECT {READ} FROM authorization_codes WHERE ({OWNER}) = (?, ?, ?) ORDER BY code"
GET = f"SELECT {READ} FROM authorization_codes WHERE ({KEY}) = (?, ?, ?, ?)"
EXPORT = f"SELECT {OWNER}, {READ} FROM authorization_codes ORDER BY {KEY}"
_CHANGED = ", ".join(f"{field} = coalesce(?, {field})" for field in AuthorizationCode._fields[1:])
CHANGE = f"""
    UPDATE authorization_codes SET {_CHANGED} WHERE ({KEY}) = (?, ?, ?, ?) RETURNING {READ}"""
"""Change the fields of a code for which the parameter is not NULL, and return the code."""

_AT = f"SELECT {OWNER}, {READ} FROM authorization_codes WHERE ({KEY}) = (?, ?, ?, ?)"
FIND = f"{_AT} UNION ALL {_AT} UNION ALL {_AT}"
"""A code of a user, of the group and of the tenant: three look-ups by the whole key."""
# max() gives one row for a user without a lockout, too.
LOCKOUT = f"""
    SELECT {{now}}, coalesce(max(failures), ''), coalesce(max(locked_until), 0),
        coalesce(max(locked_for), 0)
    FROM lockouts WHERE ({OWNER}) = (?, ?, ?)"""
STORE_LOCKOUT = f"""
    INSERT INTO lockouts ({OWNER}, failures, locked_until, locked_for, expires)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT ({OWNER}) DO UPDATE SET
    failures = excluded.failures, locked_until = excluded.locked_until,
    locked_for = excluded.locked_for, expires = excluded.expires"""
REMOVE_EXPIRED = """
    DELETE FROM lockouts WHERE tenant_id = ? AND (group_id, user_id) IN
    (SELECT group_id, user_id FROM lockouts WHERE tenant_id = ? AND expires <= ?
    ORDER BY expires LIMIT 10 {})"""
REMOVE_ALL_EXPIRED = "DELETE FROM lockouts WHERE expires <= {now}"
COUNT = "SELECT count(*) FROM authorization_codes"
COUNTS = f"""
    SELECT
        CAST(coalesce(sum(codes), 0) AS bigint),
        count(*) FILTER (WHERE user_id <> ''),
        count(DISTINCT tenant_id)
    FROM (SELECT {OWNER}, count(*) AS codes FROM authorization_codes GROUP BY {OWNER}) AS owners"""
"""How many codes there are, how many users have some of their own, and in how many tenants."""

_STAGED = ", ".join(f"staged.{column}" for column in ("line", *COLUMNS.split(", ")))
EXISTING = f"SELECT {_STAGED} FROM staged JOIN authorization_codes USING ({KEY})"
"""The staged rows whose code is stored already."""

REMOVE = f"DELETE FROM authorization_codes WHERE ({KEY}) IN (SELECT {KEY} FROM staged)"
"""Remove the codes of the staged rows."""

_SAME = " AND ".join(f"earlier.{column} = staged.{column}" for column in KEY.split(", "))
TAKE_REPEATED = f"""
    DELETE FROM staged WHERE EXISTS (
        SELECT 1 FROM staged AS earlier WHERE {_SAME} AND earlier.line < staged.line
    ) RETURNING line, {COLUMNS}"""
"""Remove and return the staged rows that repeat the owner and code of an earlier row."""

# Without the WHERE, SQLite would parse ON as the condition of a join.
ADD = f"""
    INSERT INTO authorization_codes AS kept ({COLUMNS})
    SELECT {COLUMNS} FROM staged WHERE true ORDER BY {KEY}
    ON CONFLICT ({KEY}) DO NOTHING"""
# NULL stands for a column that the file does not have; the stored value is kept.
_MORE = AuthorizationCode._fields[1:]
_NEW = ", ".join(f"{field} = coalesce(excluded.{field}, kept.{field})" for field in _MORE)
REPLACE = ADD.replace("NOTHING", f"UPDATE SET {_NEW}")
"""Store the staged rows; one whose code is stored already is skipped, or replaces it."""
