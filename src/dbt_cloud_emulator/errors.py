"""Errors as the API answers them: a status code, a message for users, and the detail in `data`."""

from __future__ import annotations

from typing import Any

BAD_REQUEST = "The request was invalid. Please double check the provided data and try again."
NOT_FOUND = "The requested resource was not found. Please check that you have the proper permissions."
FORBIDDEN = "You do not have permission to perform this action."
UNAUTHORIZED = "Invalid token."
UNPAID = "The API is not accessible to unpaid accounts."


class ApiError(Exception):
    """An answer that is not a success. `data` holds the detail: a string, a mapping or None."""

    def __init__(self, code: int, user_message: str, data: Any = None) -> None:
        super().__init__(user_message)
        self.code = code
        self.user_message = user_message
        self.data = data


def bad_request(detail: Any) -> ApiError:
    """400, with `detail` in `data`."""
    return ApiError(400, BAD_REQUEST, detail)


def not_found() -> ApiError:
    """404: it does not exist, or the token may not see it; the API does not say which."""
    return ApiError(404, NOT_FOUND)


def forbidden() -> ApiError:
    """403: the token sees it, and may not change it."""
    return ApiError(403, FORBIDDEN)


def unauthorized() -> ApiError:
    """401: no token, or one that is not known here."""
    return ApiError(401, UNAUTHORIZED)


class ConfigError(Exception):
    """The configuration cannot be used; the message says what to change."""
