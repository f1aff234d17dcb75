"""How a host is reached, whichever it is: the certificates that it is verified by, and the proxies on the way."""
