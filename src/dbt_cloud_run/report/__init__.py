"""Ledger and assets as markdown, outputs, files and annotations; pure until written."""
