"""The job summary as a page, about as GitHub shows it (diagrams stay text: nothing is loaded from elsewhere)."""

from __future__ import annotations

from html import escape

from markdown_it import MarkdownIt
from mdit_py_plugins.tasklists import tasklists_plugin

_STYLE = """
body { max-width: 1012px; margin: 2rem auto; padding: 0 1rem; color: #1f2328;
       font: 16px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }
h1, h2 { border-bottom: 1px solid #d1d9e0; padding-bottom: .3em }
table { border-collapse: collapse; display: block; overflow: auto; margin-bottom: 16px }
th, td { border: 1px solid #d1d9e0; padding: 6px 13px }
tr:nth-child(2n) { background: #f6f8fa }
code { background: #818b981f; border-radius: 6px; padding: .2em .4em; font-size: 85% }
pre { background: #f6f8fa; padding: 16px; overflow: auto; border-radius: 6px }
pre code { background: none; padding: 0 }
a { color: #0969da }
"""

_DIAGRAM = '<pre><code class="language-mermaid">'


def render(markdown: str, title: str) -> str:
    """Give a page of its own."""
    body = MarkdownIt("gfm-like", {"html": True}).use(tasklists_plugin).render(markdown)
    body = body.replace(_DIAGRAM, f"<p><em>GitHub draws this diagram; here is what it draws.</em></p>\n{_DIAGRAM}")
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>\n{body}</body></html>\n"
