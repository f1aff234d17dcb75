"""One part of the page each."""
