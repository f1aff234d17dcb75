"""A run that has ended, with its artifacts: downloaded, trusted or not, decoded."""
