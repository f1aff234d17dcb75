"""One input of the table: its name, how it is read, what it defaults to, and how it is described to people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Parser = Callable[[str], Any]

PREFIX: Final = "INPUT_"
"""Of the variables by which the runner hands inputs over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input. `default` is read by `parse` when nothing is given; an empty one stands for None, or `()`."""

    name: str
    parse: Parser
    description: str
    default: str = ""
    expression: str = ""  # the default that only GitHub can fill in; stands in action.yml instead of `default`
    computed: str = ""  # how a default is described that is worked out from other inputs
    variable: str = ""  # the environment variable that is read when the input is not given
    required: bool = False
    secret: bool = False  # the value must appear in no message
    elsewhere: str = ""  # the description outside of GitHub Actions, where it is another one
    only_in_workflow: bool = False  # has no effect outside of GitHub Actions

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")

    @property
    def declared_default(self) -> str:
        """The `default` in action.yml. With a variable to fall back on, there can be none: it would always win."""
        return "" if self.variable else self.expression or self.default

    @property
    def shown_default(self) -> str:
        """The default for people, as the README's table has it."""
        return self.computed or self.expression or self.default

    def given(self, environ: Mapping[str, str]) -> str:
        """The value that the runner handed over, stripped; empty if none."""
        return next((text for name in self.handed_over if (text := environ.get(name, "").strip())), "")

    @property
    def handed_over(self) -> tuple[str, str]:
        """The variables by which the runner hands it over. Some shells drop names with dashes."""
        return f"{PREFIX}{self.name.upper()}", f"{PREFIX}{self.field.upper()}"
