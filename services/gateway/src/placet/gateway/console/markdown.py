"""Other people's Markdown, as HTML that cannot do anything: no HTML of theirs, and no address but plain links."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_LONGEST = 100_000
"""Characters; of more the rest is left out, and said."""
_BELOW = 2
"""Levels that a page has above the prose in it."""
_DEEPEST = 6

# `html` is off: tags are text. An image would tell another site who looks, and the page's policy keeps it from loading.
_READER = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable("image")


def _unlink(inline: Sequence[Token]) -> None:
    """What names a file beside the card leads nowhere here: its words stay, without the link."""
    leads_away = False
    for token in inline:
        if token.type == "link_open":
            leads_away = str(token.attrs.get("href", "")).startswith(("http://", "https://", "mailto:"))
        if token.type in ("link_open", "link_close") and not leads_away:
            token.tag, token.attrs = "span", {}


def rendered(text: str | None) -> Markup:
    if not text:
        return Markup("")
    tokens = _READER.parse(text[:_LONGEST])
    for token in tokens:
        _unlink(token.children or [])
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(_DEEPEST, int(token.tag[1:]) + _BELOW)}"
    # markdown-it escapes all that is not Markdown, and makes no link of a script. Code may be wider than the page, and
    # has to be reached without a mouse.
    html = _READER.renderer.render(tokens, _READER.options, {}).replace("<pre>", '<pre tabindex="0">')
    shown = Markup(html)  # noqa: S704
    more = Markup('<p class="soft">The rest is left out here.</p>') if len(text) > _LONGEST else Markup("")
    return shown + more
