"""The start: which run it is about, and how it is started exactly once."""
