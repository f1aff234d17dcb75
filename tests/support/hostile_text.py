"""Text that tries to be a workflow command."""

from __future__ import annotations

from hypothesis import strategies as st
from standins.runner_log import NET_WHITE_SPACE

COMMANDS = ["::error::x", "::set-output name=run-id::7", "##[error]x", "##[group]x", "::add-mask::a", "::ERROR ::"]
PIECES = st.one_of(
    st.sampled_from([*COMMANDS, "::", ":", "#", "##", "[", "##[", "]", "\x1b[31m", "\x1b[0m", "\x1b]0;t\x07", "\x1b["]),
    st.sampled_from([*NET_WHITE_SPACE, "\x00", "\x08", "\x1b", "\x9b", "\u200b", "\u200d", "\ufeff", "\xad", "\ufe0f"]),
    st.text(max_size=4),
    st.characters(),
)
hostile = st.lists(PIECES, max_size=12).map("".join)
