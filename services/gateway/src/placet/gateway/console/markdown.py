"""Other people's Markdown, as HTML that cannot do anything: no HTML of theirs, and no address but plain links."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

_LONGEST = 100_000
"""Characters; of more the rest is left out, and said."""
_BELOW = 2
"""Levels that a page has above the prose in it."""
_DEEPEST = 6

# `html` is off: tags are text. An image would tell another site who looks, and the page's policy keeps it from loading.
_READER = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable("image")


def rendered(text: str | None) -> Markup:
    if not text:
        return Markup("")
    tokens = _READER.parse(text[:_LONGEST])
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(_DEEPEST, int(token.tag[1:]) + _BELOW)}"
    # markdown-it escapes all that is not Markdown, and makes no link of a script. Code may be wider than the page, and
    # has to be reached without a mouse.
    html = _READER.renderer.render(tokens, _READER.options, {}).replace("<pre>", '<pre tabindex="0">')
    shown = Markup(html)  # noqa: S704
    more = Markup('<p class="soft">The rest is left out here.</p>') if len(text) > _LONGEST else Markup("")
    return shown + more
