"""Everything that a bundle claims, held against everything else in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from placet.verifier.bundles import Bundle
from placet.verifier.documents import read_base64, read_moment, read_object, sha256_of
from placet.verifier.envelopes import read_envelope
from placet.verifier.failures import Unsupported, Wrong
from placet.verifier.notes import (
    Checkpoint,
    NoteKey,
    leaf_hash,
    read_checkpoint,
    read_proof,
    root_by,
    seen_by,
    signed_by,
)
from placet.verifier.policy_files import Yaml
from placet.verifier.rules import PERSONAL, judge


class Event(NamedTuple):
    """One of the log. `kind` is its type without the version: `placet.certifier.certificate.issued`."""

    position: int
    kind: str
    time: datetime
    by: str
    data: dict[str, Any]


class Finding(NamedTuple):
    outcome: str
    """`holds`, `wrong`, or `unchecked`, which says nothing for or against."""
    words: str


_SOURCES = "sources"
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
_ENDS = {"stopped": "stopped", "deleted": "deleted", "quarantined": "taken off its route"}
_EVIDENCE = frozenset(
    ("policies", "facts", "people", "certificates", "assessments", "questionnaires", "answers", "images")
)


def _signed_in(data: bytes) -> bytes:
    """What an envelope holds, whoever signed it; nothing of what is none."""
    try:
        return read_base64(read_object(data, "an envelope")["payload"], "a payload")
    except (Wrong, KeyError, AttributeError):
        return b""


class Check:
    """All that is found. `logs` are the keys of the log that are believed, `witnesses` those that are asked for."""

    def __init__(self, bundle: Bundle, *, logs: Sequence[NoteKey], witnesses: Sequence[NoteKey]) -> None:
        self.bundle = bundle
        self.logs = logs
        self.witnesses = witnesses
        self.findings: list[Finding] = []
        self.events: list[Event] = []
        self._policies: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        self._say("holds", f"{len(self.bundle.files)} files, each as it is listed")
        checkpoint = self._try(self._checkpoint)
        if checkpoint is None:
            return
        self._try(self._events, checkpoint)
        self.judge()
        for name in self._strays():
            self._say("wrong", f"{name} is named by nothing that is in the log: it was changed, or put here")

    def judge(self) -> None:
        """What the events claim, held against each other and against what they name."""
        keys = self._try(self._keys) or {}
        for event in self.of("placet.certifier.release.cleared", "placet.certifier.release.refused"):
            self._try(self._judged_again, event)
        for event in self.of("placet.certifier.certificate.issued"):
            self._try(self._certificate, event, keys)
        for event in self.of("placet.certifier.assessment.scored"):
            self._try(self._assessment, event, keys)
        for event in self.of("placet.builder.image.built"):
            self._try(self._image, event)

    def of(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    def _say(self, outcome: str, words: str) -> None:
        self.findings.append(Finding(outcome, words))

    def _try(self, check: Callable[..., Any], *given: Any) -> Any:
        try:
            return check(*given)
        except Wrong as error:
            self._say("wrong", str(error))
        except Unsupported as error:
            self._say("unchecked", str(error))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError) as error:
            # Nothing of a bundle is believed, its form neither.
            self._say("wrong", f"the bundle is not formed as bundles are: {type(error).__name__} {error}")
        return None

    # The log.

    def _checkpoint(self) -> Checkpoint:
        checkpoint = read_checkpoint(self.bundle.files["checkpoint.txt"])
        told = [
            NoteKey.from_vkey(line) for line in self.bundle.files["keys/log.txt"].decode().split("\n") if line
        ]
        by = signed_by(checkpoint, self.logs or told)
        if by is None:
            raise Wrong(
                f"the checkpoint of {checkpoint.origin} is signed by no key of that log that is believed"
            )
        self._say("holds", f"{checkpoint.origin} signed a checkpoint of {checkpoint.size} events")
        if not self.logs:
            self._say(
                "unchecked",
                "whether that key is the log's: it is the bundle's own word; give the key that you know, --log-key",
            )
        for witness in self.witnesses:
            at = seen_by(checkpoint, witness)
            if at is None:
                self._say("wrong", f"{witness.name} has not cosigned the checkpoint")
            else:
                self._say("holds", f"{witness.name} saw that checkpoint at {at.isoformat()}")
        if not self.witnesses:
            self._say(
                "unchecked", "whether anybody outside saw this log: give the keys of witnesses, --witness"
            )
        return checkpoint

    def _events(self, checkpoint: Checkpoint) -> None:
        names = self.bundle.below("events")
        for name in names:
            if name.endswith(".json"):
                self._try(self._event, name, checkpoint)
        self.events.sort()
        if len(names) == 2 * len(self.events):
            self._say("holds", f"{len(self.events)} events, each in the tree of that checkpoint")

    def _event(self, name: str, checkpoint: Checkpoint) -> None:
        raw, proof = self.bundle.files[name], read_proof(self.bundle.files[name[:-5] + ".tlog-proof"])
        event, leaf = read_object(raw, name), read_object(proof.leaf, f"the leaf of {name}")
        if leaf["digest"] != sha256_of(raw):
            raise Wrong(f"{name} was changed: the log has {leaf['digest']} at position {leaf['position']}")
        said = (event["id"], event["type"], event["source"])
        if (leaf["id"], leaf["type"], leaf["producer"]) != said or leaf["position"] != proof.place + 1:
            raise Wrong(f"{name} is another event than its leaf names")
        if root_by(leaf_hash(proof.leaf), proof.place, checkpoint.size, proof.hashes) != checkpoint.root:
            raise Wrong(f"{name} is not in the tree of the checkpoint: it was changed, moved or made up")
        if name != f"events/{leaf['position']:012}.json":
            raise Wrong(f"{name} is at position {leaf['position']} of the log")
        kind = re.sub(r"\.v[0-9]+$", "", event["type"])
        who = event.get("authid", "")
        self.events.append(Event(leaf["position"], kind, read_moment(event["time"]), who, event["data"]))

    def _strays(self) -> list[str]:
        """Evidence whose digest neither an event has, nor what an event names."""
        naming = [data for name, data in self.bundle.files.items() if name.startswith("events/")]
        named = {digest for data in naming for digest in _DIGEST.findall(data)}
        evidence = {
            name: data for name, data in self.bundle.files.items() if name.partition("/")[0] in _EVIDENCE
        }
        while True:
            known = {name for name, data in evidence.items() if sha256_of(data).encode() in named}
            for name in known:
                data = evidence.pop(name)
                named |= {digest for text in (data, _signed_in(data)) for digest in _DIGEST.findall(text)}
            if not known:
                return sorted(evidence)

    # Keys.

    def _keys(self) -> dict[str, dict[str, Any]]:
        """By id, every key that certificates were signed with, as the log names it: from when until when it signed."""
        keys: dict[str, dict[str, Any]] = {}
        for event in self.of("placet.certifier.key.rotated"):
            data = event.data
            if data["before"] in keys:
                keys[data["before"]]["until"] = data["since"]
            raw = base64.urlsafe_b64decode(data["public"] + "=" * (-len(data["public"]) % 4))
            keys[data["key"]] = {"from": data["since"], "until": None, "raw": raw, "compromised": None}
        for event in self.of("placet.certifier.key.compromised"):
            keys[event.data["key"]]["compromised"] = event.data["since"]
        self._say(
            "holds", f"{len(keys)} key{'s' if len(keys) != 1 else ''} of certificates, named in the log"
        )
        return keys

    def _statement(
        self, data: bytes, keys: dict[str, dict[str, Any]], what: str, dated: str
    ) -> dict[str, Any]:
        """What was signed, by a key that was active on that day."""
        statement, signers = read_envelope(data, {kid: key["raw"] for kid, key in keys.items()}, what)
        at = read_moment(statement["predicate"][dated])
        for kid in signers:
            key = keys[kid]
            if key["compromised"] is not None:
                self._say(
                    "unchecked",
                    f"{what} is signed with {kid}, which others may have since {key['compromised']}",
                )
            begins, ends = key["from"], key["until"]
            if (begins is not None and at < read_moment(begins)) or (
                ends is not None and at >= read_moment(ends)
            ):
                raise Wrong(f"{what} is signed with {kid} as of {at.isoformat()}, when that key did not sign")
        return statement

    # Rules.

    def _policy(self, reference: dict[str, Any]) -> dict[str, Any]:
        digest = reference["digest"]
        if digest not in self._policies:
            file = self.bundle.by_digest.get(digest)
            if file is None:
                raise Unsupported(
                    f"version {reference['version']} of the policy {reference['id']} is not in the bundle"
                )
            try:
                policy = Yaml(file).value()
            except Unsupported as error:
                raise Unsupported(
                    f"the policy {reference['id']} is written in a way that is not read here: {error}"
                ) from error
            if (policy["id"], policy["version"]) != (reference["id"], reference["version"]):
                raise Wrong(f"the policy {digest} is {policy['id']}, and {reference['id']} is named")
            self._policies[digest] = policy
        return self._policies[digest]

    def _facts(self, recorded: dict[str, Any], what: str) -> dict[str, Any]:
        file = self.bundle.by_digest.get(recorded["facts"])
        if file is None:
            raise Unsupported(f"what rules saw of {what} is not in the bundle")
        facts = read_object(file, f"the facts of {what}")
        people = self.bundle.by_digest.get(recorded.get("personal") or "")
        return (
            {**facts, PERSONAL: read_object(people, "what is about people")[PERSONAL]}
            if people is not None
            else facts
        )

    def _again(
        self,
        policies: list[dict[str, Any]],
        stage: str,
        recorded: dict[str, Any],
        verdicts: Iterable[dict[str, Any]],
        what: str,
    ) -> None:
        """Run the rules of a stage, and hold the verdicts that were given against them."""
        found = judge(policies, stage, self._facts(recorded, what))
        given = {each["rule"]: each["result"] for each in verdicts if each["policy"] != "placet"}
        for rule in sorted(found.keys() ^ given.keys()):
            how = "was not asked" if rule in found else "is asked by no policy that is named"
            raise Wrong(f"{what}: the rule {rule} {how}")
        same, unchecked = 0, []
        for rule, judged in sorted(found.items()):
            if judged.result is None:
                unchecked.append(f"{rule} ({judged.unchecked})")
            elif judged.result != given[rule]:
                raise Wrong(
                    f"{what}: the rule {rule} gives {judged.result} of these facts, and {given[rule]} was said"
                )
            else:
                same += 1
        self._say(
            "holds", f"{what}: {same} rules of stage {stage} run again, with the verdicts that were given"
        )
        if unchecked:
            self._say("unchecked", f"{what}, stage {stage}: {'; '.join(unchecked)}")

    def _judged_again(self, event: Event) -> None:
        data = event.data
        stage = data.get("stage", "submit")
        verb = event.kind.rpartition(".")[2]
        what = f"release {data['release']} of {data['project']}, {verb} at position {event.position}"
        if data.get("facts") is None:
            raise Unsupported(f"{what}: what the rules saw was not recorded")
        policies = [self._policy(each) for each in data["policies"]]
        verdicts = [each for each in data["verdicts"] if each["stage"] == stage]
        if stage != "submit":
            # What the source was cleared with is said again where an exception is over since: not of these facts.
            rules = {rule["id"] for policy in policies for rule in policy["rules"] if rule["stage"] == stage}
            verdicts = [each for each in verdicts if each["rule"] in rules]
        self._again(policies, stage, data["facts"], verdicts, what)
        if event.kind.endswith(".cleared"):
            self._forbidden(
                policies, data["verdicts"], {each["rule"] for each in data.get("exceptions", ())}, False, what
            )

    @staticmethod
    def _forbidden(
        policies: list[dict[str, Any]],
        verdicts: list[dict[str, Any]],
        excepted: set[str],
        in_haste: bool,
        what: str,
    ) -> None:
        """Raises Wrong where a rule forbids what was allowed all the same."""
        rules = {rule["id"]: rule for policy in policies for rule in policy["rules"]}
        for each in verdicts:
            rule = rules.get(each["rule"])
            if each["result"] == "pass" or (rule is not None and rule["onFail"] == "warn"):
                continue
            if rule is not None and each["rule"] in excepted and rule.get("exceptable"):
                continue
            if in_haste and rule is not None and rule.get("awaits") and each["result"] == "fail":
                continue
            raise Wrong(f"{what}: it was allowed, and the rule {each['rule']} forbids it")

    # Certificates.

    def _certificate(self, event: Event, keys: dict[str, dict[str, Any]]) -> None:
        data = event.data
        what = f"the certificate {data['certificate']}"
        statement = self._statement(self.bundle.artifact(data["envelope"]), keys, what, "notBefore")
        said = statement["predicate"]
        subjects = {each["name"]: "sha256:" + each["digest"]["sha256"] for each in statement["subject"]}
        signed = (said["certificate"], said["project"], said["release"], subjects)
        told = (
            data["certificate"],
            data["project"],
            data["release"],
            {data["repository"]: data["image"], _SOURCES: data["source"]},
        )
        span = (read_moment(said["notBefore"]), read_moment(said["notAfter"]))
        if signed != told or span != (read_moment(data["not_before"]), read_moment(data["not_after"])):
            raise Wrong(
                f"{what} is another one than position {event.position} of the log names: it was replaced"
            )
        given = {(each["rule"], each["stage"]): each["result"] for each in said["verdicts"]}
        for each in data["verdicts"]:
            if each["policy"] != "placet" and given.get((each["rule"], each["stage"])) != each["result"]:
                raise Wrong(
                    f"{what}: the verdict of {each['rule']} is another one in the log than what was signed"
                )
        self._say("holds", f"{what} is signed, and is what position {event.position} of the log names")
        policies = self._newest(said["policies"])
        exceptions, approvals = said.get("exceptions") or [], said.get("approvals") or []
        for fact in said.get("facts") or ():
            verdicts = [each for each in said["verdicts"] if each["stage"] == fact["stage"]]
            self._try(self._again, policies, fact["stage"], fact, verdicts, what)
        self._forbidden(
            policies,
            said["verdicts"],
            {each["rule"] for each in exceptions},
            bool(said.get("breakGlass")),
            what,
        )
        for each in exceptions:
            self._exception(each, said, event, what)
        for each in approvals:
            self._approval(each, said, subjects, event, what)
        if exceptions or approvals:
            words = (
                f"{len(exceptions)} exceptions and {len(approvals)} approvals, each given by another person"
            )
            self._say("holds", f"{what}: {words}")

    def _newest(self, references: list[dict[str, Any]]) -> list[dict[str, Any]]:
        newest: dict[str, dict[str, Any]] = {}
        for each in references:
            if each["id"] not in newest or newest[each["id"]]["version"] < each["version"]:
                newest[each["id"]] = each
        return [self._policy(each) for each in newest.values()]

    def _exception(self, used: dict[str, Any], said: dict[str, Any], event: Event, what: str) -> None:
        name = used["exception"]
        granted = [
            each
            for each in self.of("placet.gateway.exception.granted")
            if each.data["exception"] == name and each.position < event.position
        ]
        if not granted:
            raise Wrong(f"{what} stands on the exception {name}, which nobody granted before")
        data = granted[0].data
        if (data["rule"], data["project"]) != (used["rule"], said["project"]):
            raise Wrong(
                f"{what} stands on the exception {name}, which is from another rule or for another project"
            )
        if data["requested_by"] == data["granted_by"] or data["granted_by"] != used["grantedBy"]:
            raise Wrong(f"{what}: the exception {name} was not granted by somebody else than asked for it")
        if read_moment(data["until"]) != read_moment(used["until"]) or read_moment(
            said["notAfter"]
        ) > read_moment(data["until"]):
            raise Wrong(f"{what} holds longer than the exception {name} that it stands on")
        for each in self.of("placet.gateway.exception.withdrawn"):
            if each.data["exception"] == name and each.position < event.position:
                raise Wrong(
                    f"{what} stands on the exception {name}, which was withdrawn at position {each.position}"
                )

    def _approval(
        self, counted: dict[str, Any], said: dict[str, Any], subjects: dict[str, str], event: Event, what: str
    ) -> None:
        name = counted["approval"]
        given = [each for each in self.of("placet.gateway.approval.given") if each.data["approval"] == name]
        if not given or given[0].position > event.position:
            raise Wrong(f"{what} counts the approval {name}, which nobody gave before")
        data = given[0].data
        if (data["project"], data["release"], data["given_by"]) != (
            said["project"],
            said["release"],
            counted["givenBy"],
        ):
            raise Wrong(f"{what} counts the approval {name}, which is of something else, or by somebody else")
        images = [digest for of, digest in subjects.items() if of != _SOURCES]
        if [data["binding"]["source"], data["binding"]["image"]] != [subjects.get(_SOURCES), *images]:
            raise Wrong(f"{what} counts the approval {name}, which is of another source or image")
        for each in self.of("placet.certifier.release.cleared"):
            is_same = (each.data["project"], each.data["release"]) == (said["project"], said["release"])
            if is_same and each.data.get("asker") == data["given_by"]:
                raise Wrong(f"{what} counts the approval {name}, by who asked for the release")

    def _assessment(self, event: Event, keys: dict[str, dict[str, Any]]) -> None:
        data = event.data
        what = f"the assessment {data['assessment']}"
        statement = self._statement(self.bundle.artifact(data["envelope"]), keys, what, "answeredAt")
        said = statement["predicate"]
        for name in ("assessment", "project", "questionnaire", "version", "score", "level"):
            if said[name] != data[name]:
                raise Wrong(f"{what}: {name} is {data[name]} in the log, and {said[name]} was signed")
        self._say("holds", f"{what} is signed: level {said['level']}, {data['label']}")

    def _image(self, event: Event) -> None:
        for name, what in (("bom", "bill of materials"), ("provenance", "provenance")):
            digest = event.data.get(name)
            if digest is not None:
                self.bundle.artifact(digest)
                self._say(
                    "holds", f"the {what} of the image {event.data['image'][:19]}… is the one that was built"
                )

    # What it amounts to.

    def standing(self, project: str, at: datetime) -> list[str]:
        """Whether the project was allowed to run at that moment, as far as the events in the bundle tell."""
        issued: dict[str, Event] = {}
        against: dict[str, str] = {}
        serving = ended = None
        for event in self.events:
            if event.time > at or event.data.get("project") != project:
                continue
            noun, _, verb = event.kind.rpartition(".")
            name = event.data.get("certificate", "")
            if event.kind == "placet.certifier.certificate.issued":
                issued[name] = event
            elif noun == "placet.certifier.certificate" and verb in ("suspended", "revoked", "expired"):
                against[name] = f"{verb} at position {event.position}"
            elif event.kind == "placet.certifier.certificate.reinstated":
                against.pop(name, None)
            elif event.kind == "placet.deployer.model.started":
                serving, ended = event, None
            elif noun == "placet.deployer.model" and verb in _ENDS:
                serving, ended = None, event
        words = []
        for name, event in issued.items():
            data = event.data
            if not read_moment(data["not_before"]) <= at < read_moment(data["not_after"]):
                state = f"did not hold then, but from {data['not_before']} to {data['not_after']}"
            elif name in against:
                state = f"was {against[name]}"
            else:
                # Who stopped or deleted it did not want it to run, whatever its certificate says.
                state = "allowed it" if ended is None else "stood"
            words.append(f"release {data['release']}: the certificate {name} {state}")
        if not issued:
            words.append("it was never certified until then")
        if ended is not None:
            running = (
                f"none was served: it was {_ENDS[ended.kind.rpartition('.')[2]]} at position {ended.position}"
            )
        else:
            running = (
                "none was served" if serving is None else f"release {serving.data.get('release')} was served"
            )
        return [*words, running]
