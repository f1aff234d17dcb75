"""Waiting for a run to end, and ending one."""
