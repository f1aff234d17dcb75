"""TLS that hands out all records that are there, not one.

A record holds at most 16 KiB, and each piece of a body goes through five layers of Python: of an artifact of hundreds
of megabytes, that takes longer than its transfer.
"""

from __future__ import annotations

import ssl


class Records(ssl.SSLObject):
    """For `SSLContext.sslobject_class`: a read returns as many of the bytes asked for as have arrived."""

    def read(self, len: int = 1024, buffer: bytearray | None = None) -> bytes:  # noqa: A002 - the name of its parent
        """As `SSLObject.read`. What keeps it from going on is raised by the next read."""
        if buffer is not None:
            return super().read(len, buffer)
        found = [super().read(len)]
        left = len - _size(found[0])
        while left > 0 and found[-1]:
            try:
                found.append(super().read(left))
            except ssl.SSLError:
                break
            left -= _size(found[-1])
        return b"".join(found)


_size = len
