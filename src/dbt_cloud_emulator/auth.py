"""Who may do what."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.requests import Request

from dbt_cloud_emulator.config import EmulatorConfig, TokenConfig
from dbt_cloud_emulator.errors import UNPAID, ApiError, forbidden, not_found, unauthorized

READ_ONLY = ("job_viewer", "readonly")
SCHEMES = ("token", "bearer")


@dataclass(frozen=True, slots=True)
class Access:
    """A known token, and the account that the request is about."""

    token: TokenConfig
    account_id: int

    def sees_project(self, project_id: int | None) -> bool:
        return self.token.project_ids is None or project_id in self.token.project_ids

    def require_write(self) -> None:
        """ApiError 403 for a token that may only read."""
        if self.token.permission in READ_ONLY:
            raise forbidden()

    def require_beyond_jobs(self) -> None:
        """ApiError 404 for a token that sees jobs and runs only."""
        if self.token.permission == "job_runner":
            raise not_found()


def authenticate(request: Request, config: EmulatorConfig) -> TokenConfig:
    """The token of `Authorization: Token …` or `Bearer …`. Raises ApiError 401."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() in SCHEMES:
        for token in config.tokens:
            if secrets.compare_digest(token.token.encode(), value.strip().encode()):
                return token
    raise unauthorized()


def authorize(request: Request, config: EmulatorConfig) -> Access:
    """Access to the account of the path. Raises ApiError 401, 403 (IP restriction) and 404 (not its account)."""
    token = authenticate(request, config)
    account_id = request.path_params["account_id"]
    if token.ip_blocked:
        data = {"account_id": account_id, "user_id": None, "is_service_token": True, "account_access_denied": True}
        raise ApiError(403, "Forbidden: Access denied", data)
    account = next((account for account in config.accounts if account.id == account_id), None)
    if account is not None and account.unpaid:
        raise ApiError(403, UNPAID)
    if account is None or (token.account_ids is not None and account_id not in token.account_ids):
        raise not_found()
    return Access(token, account_id)
