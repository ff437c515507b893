"""For which roles a page is: one that would only refuse is not offered.

That decides about links alone. Whoever goes to such a page all the same is told by the platform which roles it is for;
that the two agree is tested on a platform, with each role on each page (`test_who_may_not_see_a_page_is_not_offered_it`
in tests/system/console_platform.py).
"""

from __future__ import annotations

from collections.abc import Collection

from placet.gateway.domain import ADMINS, MAKERS
from placet.gateway.retaining import READERS

_AUDITORS = frozenset({"auditor", "compliance", "admin"})
"""Of the log's service."""
_OPERATORS = frozenset({"operator", "admin"})
"""Of the registry's service."""
_TELLERS = frozenset({"operator", "compliance", "admin"})
"""Who has events told to somebody outside."""
FOR = {
    "/console/deploy": MAKERS,
    "/console/audit/then": _AUDITORS,
    "/console/audit/why": _AUDITORS,
    "/console/platform/registry": _OPERATORS,
    "/console/platform/webhooks": _TELLERS,
    "/console/platform/tokens": ADMINS,
    "/console/platform/retention": READERS,
}
"""Pages by their paths, as they begin; any other is for everybody who is signed in."""


def may_see(roles: Collection[str], path: str) -> bool:
    page = path.partition("?")[0]
    return all(not allowed.isdisjoint(roles) for begin, allowed in FOR.items() if page.startswith(begin))
