"""Attempts → one outcome a node, and what that makes of the whole. Pure."""
