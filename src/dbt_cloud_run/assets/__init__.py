"""Ledger and manifest → what is now in the warehouse. Pure."""
