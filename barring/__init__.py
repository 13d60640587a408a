"""Authorization codes for outgoing call barring, stored per tenant, group and user."""

__version__ = "0.1.0"
