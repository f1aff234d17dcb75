"""The few endpoints of GitHub's REST API that a pull request comment needs, on a real socket."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from standins.local_server import LocalHandler, LocalServer

TOKEN = "ghs_0123456789abcdef"
PREFIX = "/api/v3"


@dataclass
class Comment:
    id: int
    login: str
    kind: str  # `Bot` or `User`
    body: str


class CommentsService(LocalServer):
    """Use as a context manager; `url` is what GITHUB_API_URL would be on an Enterprise Server."""

    def __init__(self, *, login: str = "github-actions[bot]", kind: str = "Bot") -> None:
        super().__init__(_Handler)
        self.login, self.kind = login, kind
        self.comments: list[Comment] = []
        self.requests: list[str] = []
        self.statuses: dict[str, list[int]] = {}  # by method: what is answered instead, one after another
        self.said = "planned"  # what GitHub says then
        self.headers: dict[str, str] = {}  # and sends besides
        self.trickles = False  # whether every answer comes byte by byte, and never to its end
        self.is_gitea = False  # its comments have no `url`, and its accounts no `type`
        self.pull_request: Any = {
            "number": 5,
            "state": "open",
            "head": {"sha": "f00dcafe", "repo": {"full_name": "org/repo"}},
            "base": {"sha": "beefbeef", "repo": {"full_name": "org/repo"}},
        }
        self.url = f"{self.origin}{PREFIX}"

    def add(self, body: str, *, login: str | None = None, kind: str | None = None) -> Comment:
        """An empty `login`: of an account that is gone."""
        comment = Comment(501 + len(self.comments), self.login if login is None else login, kind or self.kind, body)
        self.comments.append(comment)
        return comment

    def answer(self, method: str, target: str, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        parts = urlsplit(target)
        path = parts.path.removeprefix(PREFIX)
        if method == "GET" and path == "/user":
            is_person = self.kind == "User"
            return (200, {"login": self.login}, {}) if is_person else (403, {"message": "not accessible"}, {})
        if method == "GET" and path == "/repos/org/repo/issues/5/comments":
            return self._page(parse_qs(parts.query))
        if method == "GET" and path == "/repos/org/repo/pulls/5":
            return 200, self.pull_request, {}
        if method == "POST" and path == "/repos/org/repo/issues/5/comments":
            if len(body["body"]) > 65_536:
                return 422, {"message": "body is too long"}, {}
            return 201, self._show(self.add(body["body"])), {}
        match = re.fullmatch(r"/repos/org/repo/issues/comments/(\d+)", path)
        if method == "PATCH" and match:
            (comment,) = (comment for comment in self.comments if comment.id == int(match[1]))
            comment.body = body["body"]
            return 200, self._show(comment), {}
        return 404, {"message": "Not Found"}, {}

    def _page(self, query: dict[str, list[str]]) -> tuple[int, Any, dict[str, str]]:
        size, page = int(query.get("per_page", ["30"])[0]), int(query.get("page", ["1"])[0])
        shown = self.comments[(page - 1) * size : page * size]
        headers = {}
        if page * size < len(self.comments):
            address = f"{self.url}/repos/org/repo/issues/5/comments?per_page={size}&page={page + 1}"
            headers["Link"] = f'<{address}>; rel="next"'
        return 200, [self._show(comment) for comment in shown], headers

    def _show(self, comment: Comment) -> dict[str, Any]:
        shown = {
            "id": comment.id,
            "html_url": f"https://github.example.com/org/repo/pull/5#issuecomment-{comment.id}",
            "body": comment.body,
        }
        if self.is_gitea:
            return shown | {"user": {"login": comment.login}}
        return shown | {
            "url": f"{self.url}/repos/org/repo/issues/comments/{comment.id}",
            "user": {"login": comment.login, "type": comment.kind} if comment.login else None,
        }


class _Handler(LocalHandler):
    service: CommentsService

    def answer(self) -> None:
        body = self.body()
        self.service.requests.append(f"{self.command} {self.path}")
        if self.service.trickles:
            self._trickle()
            return
        planned = self.service.statuses.get(self.command)
        if self.headers.get("Authorization") not in (f"token {TOKEN}", f"Bearer {TOKEN}"):
            status, answer, headers = 401, {"message": "Bad credentials"}, {}
        elif planned:
            status, answer, headers = planned.pop(0), {"message": self.service.said}, self.service.headers
        else:
            status, answer, headers = self.service.answer(self.command, self.path, json.loads(body or b"{}"))
        self.reply(status, json.dumps(answer).encode(), headers)

    def _trickle(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        with contextlib.suppress(OSError):
            while self.service.trickles:
                self.wfile.write(b" ")
                time.sleep(0.05)
        self.close_connection = True
