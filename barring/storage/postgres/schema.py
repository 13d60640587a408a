"""The tables of the PostgreSQL engine, and their migrations."""

from barring.storage.base import LATER, NO_DATABASE, StorageError

from .connections import Connection

_LOCK = 0x42415252
"""The advisory lock for migrations: "BARR", a number that no other program is likely to use."""

_STEPS = {
    # Collation "C" orders by code point, whatever the database's own collation.
    "create_authorization_codes": """
        CREATE TABLE authorization_codes (
            tenant_id text COLLATE "C" NOT NULL,
            group_id text COLLATE "C" NOT NULL,
            user_id text COLLATE "C" NOT NULL,
            code text COLLATE "C" NOT NULL,
            description text COLLATE "C" NOT NULL,
            PRIMARY KEY (tenant_id, group_id, user_id, code)
        )""",
    "create_barring_marks": "CREATE TABLE barring_marks (slot integer PRIMARY KEY)",
    # A column that may be NULL is added without rewriting the table.
    "add_class_of_service": """
        ALTER TABLE authorization_codes ADD COLUMN class_of_service text COLLATE "C"
    """,
    "create_lockouts": """
        CREATE TABLE lockouts (
            tenant_id text COLLATE "C", group_id text COLLATE "C", user_id text COLLATE "C",
            failures text NOT NULL, locked_until bigint NOT NULL, locked_for bigint NOT NULL,
            expires bigint NOT NULL, PRIMARY KEY (tenant_id, group_id, user_id)
        );
        CREATE INDEX lockouts_by_expiry ON lockouts (tenant_id, expires)""",
    # Replaces barring_marks, which hosts of earlier releases use until they are upgraded. A role
    # that may write to barring_marks, but not upgrade, gets the same rights to the new tables.
    "create_barring_tenant_marks": """
        CREATE TABLE barring_tenant_marks (
            tenant_id text COLLATE "C", slot integer, PRIMARY KEY (tenant_id, slot));
        DO $$ DECLARE r regrole; BEGIN
        FOR r IN SELECT DISTINCT grantee FROM pg_class, aclexplode(relacl)
            WHERE oid = 'barring_marks'::regclass AND privilege_type = 'INSERT' AND grantee > 0
        LOOP EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON lockouts, barring_tenant_marks TO '
            || r; END LOOP; END $$""",
}

_GRANT = """
    SELECT format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', schema, current_user)
    FROM coalesce(current_schema(), 'public') AS schema
    WHERE NOT has_schema_privilege(schema, 'CREATE')"""
"""The statement that lets the user create tables, if it may not yet."""


def _applied(connection: Connection) -> set[str]:
    """The migrations that the database has."""
    return {step for (step,) in connection.execute("SELECT step FROM barring_migrations")}


def migrate(connection: Connection, name: str, create: bool) -> None:
    """Apply the pending migrations in one transaction, while other processes wait.

    Raises StorageError for a database of a later release, and without `create` for an empty one.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StorageError(f"{name}: its encoding is {encoding}; create one with UTF8")
    found = connection.execute("SELECT to_regclass('barring_migrations') IS NOT NULL")
    exists = found.fetchone() == (True,)
    if not exists and not create:
        raise StorageError(f"{name}: {NO_DATABASE}")
    if exists and {*_STEPS} == _applied(connection):
        return
    for (grant,) in [] if exists else connection.execute(_GRANT):
        raise StorageError(f"{name}: its user may not create tables; as an administrator, {grant}")
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
        connection.execute("CREATE TABLE IF NOT EXISTS barring_migrations (step text PRIMARY KEY)")
        done = _applied(connection)
        if later := sorted(done - {*_STEPS}):
            raise StorageError(f"{name}: {LATER.format(', '.join(later))}")
        for step, statement in _STEPS.items():
            if step not in done:
                connection.execute(statement)
                connection.execute("INSERT INTO barring_migrations VALUES (?)", (step,))
