"""Verification of codes at call time, and the lock-out of users after failures."""
