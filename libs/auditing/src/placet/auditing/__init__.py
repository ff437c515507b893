"""What follows from a platform's own record, for who only reads it.

`go_through` and `judge` say whether its audit log holds; `redecide` what another version of a policy would have said of
all that was decided. Both need no more than a client of REST.
"""

from placet.auditing.judgements import Facts, Judgement, Said, facts_of, judgement_of, judgements
from placet.auditing.redeciding import Redecided, redecide
from placet.auditing.verification import (
    CUT_OFF,
    go_through,
    judge,
    must_go_on_from,
    read_entries,
    said_of_stores,
    signed_by,
)

__all__ = [
    "CUT_OFF",
    "Facts",
    "Judgement",
    "Redecided",
    "Said",
    "facts_of",
    "go_through",
    "judge",
    "judgement_of",
    "judgements",
    "must_go_on_from",
    "read_entries",
    "redecide",
    "said_of_stores",
    "signed_by",
]
