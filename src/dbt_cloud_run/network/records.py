"""TLS that hands out all records that are there, not one.

A record holds at most 16 KiB, and each piece of a body goes through five layers of Python: of an artifact of hundreds
of megabytes, that takes longer than its transfer.
"""

from __future__ import annotations

import ssl


class Records(ssl.SSLObject):
    """For `SSLContext.sslobject_class`: a read returns as many of the bytes asked for as have arrived."""

    _failure: ssl.SSLError | None = None

    def read(self, len: int = 1024, buffer: bytearray | None = None) -> bytes:  # noqa: A002 - the name of its parent
        """As `SSLObject.read`. An error after bytes that are returned is raised by the next read."""
        if self._failure is not None:
            # OpenSSL says what happened once, and then only that the connection is at its end.
            failure, self._failure = self._failure, None
            raise failure
        if buffer is not None:
            return super().read(len, buffer)
        found = [super().read(len)]
        left = len - _size(found[0])
        while left > 0 and found[-1]:
            try:
                found.append(super().read(left))
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except ssl.SSLError as error:
                self._failure = error
                break
            left -= _size(found[-1])
        return b"".join(found)


_size = len
