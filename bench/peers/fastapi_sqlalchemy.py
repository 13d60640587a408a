"""FastAPI, pydantic models and the SQLAlchemy ORM, on SQLite or PostgreSQL by DATABASE."""

import os
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import create_engine, event, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

ROLES = ("End User", "Group Admin", "Tenant Admin", "System Admin")

DATABASE = os.environ["DATABASE"]
ON_SQLITE = "://" not in DATABASE
engine = create_engine(
    f"sqlite:///{DATABASE}" if ON_SQLITE else DATABASE.replace("://", "+psycopg://"),
    connect_args={"timeout": 30} if ON_SQLITE else {},
    # One for each of FastAPI's threads: if all wait for a connection, none can close a session.
    pool_size=40,
)
new_session = sessionmaker(engine)

if ON_SQLITE:

    @event.listens_for(engine, "connect")
    def make_durable(connection: Any, _: Any) -> None:
        """Have every commit survive a power cut."""
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")


class Base(DeclarativeBase):
    """The base class of all tables."""


class Row(Base):
    """An authorization code."""

    __tablename__ = "codes"
    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    group_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str]


class AuthorizationCode(BaseModel):
    """One code."""

    code: str = Field(min_length=2, max_length=14, pattern=r"^[0-9A-Za-z*#._-]+$")
    description: str = Field("", max_length=80)


class AuthorizationCodes(BaseModel):
    """A list of codes."""

    authCodes: list[AuthorizationCode]  # noqa: N815


class Owner(BaseModel):
    """The tenant, group and user in a path."""

    tenant_id: str
    group_id: str
    user_id: str


def owner(tenant_id: str, group_id: str, user_id: str) -> Owner:
    """Get the owner from the path."""
    return Owner(tenant_id=tenant_id, group_id=group_id, user_id=user_id)


def session() -> Iterator[Session]:
    """A session for the length of a request."""
    with new_session() as opened:
        yield opened


class Requires:
    """Refuses a caller without the role."""

    def __init__(self, least: int) -> None:
        self.least = least

    def __call__(self, x_role: Annotated[str, Header()]) -> None:
        if x_role not in ROLES:
            raise HTTPException(401, "Send the header X-Role.")
        if ROLES.index(x_role) < self.least:
            raise HTTPException(403, "This needs a higher role.")


CODES = (
    "/api/v1/tenants/{tenant_id}/groups/{group_id}/users/{user_id}"
    "/services/outgoing_call_barring/codes/"
)
Owned = Annotated[Owner, Depends(owner)]
Opened = Annotated[Session, Depends(session)]
reads, writes = [Depends(Requires(0))], [Depends(Requires(1))]
app = FastAPI()


@app.get(CODES, dependencies=reads)
def list_codes(owner: Owned, session: Opened) -> AuthorizationCodes:
    """List the codes of a user."""
    rows = session.scalars(select(Row).filter_by(**owner.model_dump()).order_by(Row.code))
    codes = [AuthorizationCode(code=row.code, description=row.description) for row in rows]
    return AuthorizationCodes(authCodes=codes)


@app.post(CODES, status_code=201, dependencies=writes)
def create_codes(
    body: AuthorizationCodes | AuthorizationCode, owner: Owned, session: Opened
) -> dict[str, str]:
    """Create one code or many, all or none."""
    codes = body.authCodes if isinstance(body, AuthorizationCodes) else [body]
    keys = owner.model_dump()
    session.add_all(Row(**keys, code=c.code, description=c.description) for c in codes)
    try:
        session.commit()
    except IntegrityError:
        raise HTTPException(400, "A code exists already.") from None
    return {}


@app.get(CODES + "{code}/", dependencies=reads)
def get_code(code: str, owner: Owned, session: Opened) -> AuthorizationCode:
    """Get a code."""
    row = session.get(Row, (owner.tenant_id, owner.group_id, owner.user_id, code))
    if row is None:
        raise HTTPException(404)
    return AuthorizationCode(code=row.code, description=row.description)


@app.delete(CODES + "{code}/", dependencies=writes)
def delete_code(code: str, owner: Owned, session: Opened) -> dict[str, str]:
    """Remove a code."""
    row = session.get(Row, (owner.tenant_id, owner.group_id, owner.user_id, code))
    if row is not None:
        session.delete(row)
        session.commit()
    return {}
