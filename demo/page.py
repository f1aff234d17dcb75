"""The job summary as a page, about as GitHub shows it. The diagrams are drawn, and nothing is loaded from elsewhere."""

from __future__ import annotations

from html import escape
from importlib.resources import files

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
pre.mermaid { background: none }
a { color: #0969da }
"""

_CODE = '<pre><code class="language-mermaid">'
_DIAGRAM = '<pre class="mermaid">'
_START = 'mermaid.initialize({startOnLoad: true, securityLevel: "strict"});'


def render(markdown: str, title: str) -> str:
    """The page, with all that it needs in it."""
    body = MarkdownIt("gfm-like", {"html": True}).use(tasklists_plugin).render(markdown)
    first, *rest = body.split(_CODE)
    body = first + "".join(_DIAGRAM + one.replace("</code></pre>", "</pre>", 1) for one in rest)
    script = f"<script>{_mermaid()}</script>\n<script>{_START}</script>\n" if rest else ""
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>\n{body}{script}</body></html>\n"


def _mermaid() -> str:
    """Mermaid for browsers, as its project publishes it."""
    text = files("mermaidx").joinpath("assets/mermaid.js").read_text(encoding="utf-8")
    # A script ends at the first such tag, whatever is around it.
    return text.replace("</script", "<\\/script")
