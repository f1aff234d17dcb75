"""Decompression within bounds: a few bytes from the wire can stand for gigabytes, and never take that much memory."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
from zlib_ng import zlib_ng

from dbt_cloud_run.cloud.errors import TooLarge

UNQUESTIONED = 64 * 1024**2
"""Bytes that a body may inflate to whatever it came from. What is larger inflates at most `HIGHEST_RATIO` : 1."""
HIGHEST_RATIO = 200
"""Real manifests of 730 MB inflate 12 : 1; a body made to fill a disk 1,000 : 1."""
LARGEST_BODY = 4 * 1024**3
"""Bytes of one body, on the wire and inflated."""

_CHUNK = 1024 * 1024  # bytes inflated at a time
_GZIP = 16 + zlib_ng.MAX_WBITS  # with its header and its checksum, which are checked
_RAW = -zlib_ng.MAX_WBITS


class Inflating:
    """One body, by its `Content-Encoding`. `wire` and `size` count its bytes as they came and as they are.

    Methods raise `httpx.DecodingError` for what is damaged, cut short or of another encoding, and `TooLarge`.
    """

    def __init__(self, encoding: str, *, unquestioned: int = UNQUESTIONED) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise httpx.DecodingError(f"the encoding {self._encoding[:40]!r} was not requested")
        self._unquestioned = unquestioned
        self._stream: zlib_ng._Decompress | None = None
        self.wire = self.size = self.members = 0

    @property
    def is_gzip(self) -> bool:
        """Whether the body is what a gzip file holds."""
        return "gzip" in self._encoding

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What a piece from the wire stands for, in chunks of at most a megabyte; to be read to its end."""
        self.wire += len(piece)
        chunks = [piece] if self._encoding in ("", "identity") else self._inflated(piece)
        for chunk in chunks:
            self.size += len(chunk)
            self._check()
            if chunk:
                yield chunk
        self._check()

    def finish(self) -> None:
        """The body is at its end."""
        if self._stream is not None and not self._stream.eof:
            raise httpx.DecodingError("the compressed data ends too early")

    def _inflated(self, piece: bytes) -> Iterator[bytes]:
        is_full = False  # then more may be held back within zlib, whether or not there is a piece left
        try:
            while piece or is_full:
                if self._stream is None or self._stream.eof:
                    self._stream = self._begun(piece)
                    self.members += 1
                chunk = self._stream.decompress(piece, _CHUNK)
                yield chunk
                is_full = len(chunk) == _CHUNK and not self._stream.eof
                piece = self._stream.unused_data or self._stream.unconsumed_tail
        # Its stub calls the exception an instance.
        except zlib_ng.error as error:  # type: ignore[misc]
            raise httpx.DecodingError(f"the compressed data cannot be read: {error}") from error

    def _begun(self, piece: bytes) -> zlib_ng._Decompress:
        if self.is_gzip:
            return zlib_ng.decompressobj(_GZIP)
        if self.members:
            raise httpx.DecodingError("there is more after the compressed data")
        # `deflate` should have zlib's header (RFC 9110, 8.4.1.2); many servers leave it out.
        has_header = piece[0] & 0x0F == 8 and (len(piece) < 2 or (piece[0] * 256 + piece[1]) % 31 == 0)
        return zlib_ng.decompressobj(zlib_ng.MAX_WBITS if has_header else _RAW)

    def _check(self) -> None:
        if max(self.wire, self.size) > LARGEST_BODY:
            raise TooLarge(f"The answer is larger than {LARGEST_BODY // 1024**3} GiB, and is not read to its end.")
        if self.size > self._unquestioned and self.size > HIGHEST_RATIO * self.wire:
            raise TooLarge(
                f"The answer inflates to more than {HIGHEST_RATIO} times what came, and is not read to its end."
            )
