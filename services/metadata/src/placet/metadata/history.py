"""What was so, at any position of the audit log? The state of the whole platform, folded from what was said by then.

Few events matter: what is measured in every window, who was reminded, which positions were missing are no state.
Each kind of event is told by one of the modules beside this one; each fact keeps the position of the event that said
it. Pure: no clock, no log, no rows. Read in pieces or at once, the same events are the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from placet.events.catalog import contract_of
from placet.events.contracts import certifier
from placet.metadata import (
    history_certificates,
    history_models,
    history_people,
    history_reports,
    history_rules,
)
from placet.metadata.entities import Said, State

_Tell = Callable[[State, Said, Any], None]

_TOLD: Mapping[type, _Tell] = {
    event: tell
    for events, tell in (
        (history_models.Models, history_models.tell),
        (history_certificates.Certificates, history_certificates.tell),
        (history_people.People, history_people.tell),
        (history_rules.Rules, history_rules.tell),
        (history_reports.Reports, history_reports.tell),
    )
    for event in get_args(events)
}

TYPES: frozenset[str] = frozenset(
    contract_of(event).type_of(version)
    for event in _TOLD
    for version in range(1, contract_of(event).version + 1)
)
"""Of all events that say something of a state, in every version that there was of them."""


def types_of(*events: type) -> frozenset[str]:
    """Those names for some events only, where no more is asked for."""
    return frozenset(
        contract_of(event).type_of(version)
        for event in events
        for version in range(1, contract_of(event).version + 1)
    )


def fold(state: State, happened: Iterable[Said]) -> State:
    """Go on from `state`, which this changes, with events in the order of their positions."""
    for said in happened:
        event = said.data
        tell = _TOLD.get(type(event))
        if tell is not None:
            tell(state, said, event)
            state.events += 1
        match event:
            case certifier.ReleaseCleared() | certifier.ReleaseRefused() | certifier.CertificateIssued():
                history_rules.judged_by(state, said, event.policies)
            case certifier.ApprovalAwaited():
                history_rules.judged_by(state, said, event.binding.policies)
        state.position = said.position
    return state
