"""Everything that a bundle claims, held against everything else in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from placet.verifier.bundles import EVIDENCE, Bundle
from placet.verifier.documents import read_base64, read_moment, read_object, sha256_of, write_moment
from placet.verifier.dossier import PAGE, dossier, said_in
from placet.verifier.envelopes import read_envelope
from placet.verifier.failures import Unsupported, Wrong
from placet.verifier.names import (
    ABOUT_PEOPLE,
    CERTIFICATES,
    MANIFEST,
    Named,
    beside,
    named_by_certificate,
    named_in,
)
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
from placet.verifier.readme import README, left_out_of, readme
from placet.verifier.rules import PERSONAL, judge


class Event(NamedTuple):
    """One of the log. `kind` is its type without the version: `placet.certifier.certificate.issued`."""

    position: int
    kind: str
    time: datetime
    by: str
    data: dict[str, Any]
    of: str = ""
    """The project that it is said of."""


class Finding(NamedTuple):
    outcome: str
    """`holds`, `wrong`, or `unchecked`, which says nothing for or against."""
    words: str


_PLATFORM = "platform"
"""Where the log has what is said of no project."""
_SHOWN = 120
"""Letters of a line that somebody changed."""
_MAX_KEYS = 10_000
"""Each is held against each signature of a checkpoint."""
_SOURCES = "sources"
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
_ENDS = {"stopped": "was stopped", "deleted": "was deleted"}
_GIVES_WAY = {"quarantined": "was taken off its route", "failed": "failed"}
_SEEN_AGAIN = timedelta(hours=2)
"""A log in which nothing happens has its last checkpoint cosigned again every hour: one that nobody saw for longer has
gone on, or its witnesses are away."""
_IN_HASTE = timedelta(hours=24)
"""How long a certificate holds at most that two people had given although what was awaited did not come."""


def _is_of(event: Event, serving: Event | None) -> bool:
    """Whether it says something of the release that is served: of one that gave way to another it ends nothing."""
    return serving is not None and serving.data.get("release") == event.data.get("release")


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
        self._versions: dict[tuple[str, int], str] = {}

    def run(self) -> None:
        self._say("holds", f"{len(self.bundle.files)} files, each as it is listed")
        checkpoint = self._try(self._checkpoint)
        if checkpoint is None:
            return
        self._try(self._events, checkpoint)
        self.judge()
        for name in self._strays():
            self._say("wrong", f"{name} is named by nothing that is in the log: it was changed, or put here")
        if self.is_whole:
            for name in self._try(self._misnamed) or ():
                self._say(
                    "wrong",
                    f"{name} is called so by nothing that names it here: it was renamed, or that was taken out",
                )
        if self.is_whole:
            self._try(self._read_by_people, checkpoint)
        else:
            self._say("unchecked", f"{PAGE} and {README}: what they are made of does not hold")

    def judge(self) -> None:
        """What the events claim, held against each other and against what they name."""
        for event in self.of("placet.certifier.policy.published"):
            self._try(self._published, event)
        keys = self._try(self._keys) or {}
        for event in self.of("placet.certifier.release.cleared", "placet.certifier.release.refused"):
            self._try(self._judged_again, event)
        for event in self.of("placet.certifier.certificate.issued"):
            self._try(self._certificate, event, keys)
        for event in self.of("placet.certifier.assessment.scored"):
            self._try(self._assessment, event, keys)
        for event in self.of("placet.builder.image.built"):
            self._try(self._image, event)

    @property
    def is_whole(self) -> bool:
        return not any(each.outcome == "wrong" for each in self.findings)

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
        except (
            KeyError,
            TypeError,
            AttributeError,
            ValueError,
            IndexError,
            ArithmeticError,
            RecursionError,
        ) as error:
            # Nothing of a bundle is believed, its form neither.
            self._say("wrong", f"the bundle is not formed as bundles are: {type(error).__name__} {error}")
        return None

    # The log.

    def _checkpoint(self) -> Checkpoint:
        checkpoint = read_checkpoint(self.bundle.file("checkpoint.txt"))
        lines = self.bundle.file("keys/log.txt").decode("utf-8", "replace").split("\n")
        told = [NoteKey.from_vkey(line) for line in lines if line]
        if len(told) > _MAX_KEYS:
            raise Wrong(f"keys/log.txt has {len(told)} keys, and no log has had so many")
        if len(set(told)) < len(told):
            raise Wrong("keys/log.txt has a key twice")
        by = signed_by(checkpoint, self.logs or told)
        if by is None:
            raise Wrong(
                f"the checkpoint of {checkpoint.origin} is signed by no key of that log that is believed"
            )
        index = self.bundle.index
        if not any(by.raw == each.raw and by.name == each.name for each in told):
            raise Wrong("keys/log.txt names other keys than the one that signed: it was changed")
        unknown = sum(each not in self.logs for each in told)
        if self.logs and unknown:
            others = "another key" if unknown == 1 else f"{unknown} other keys"
            self._say("unchecked", f"whether {others} in keys/log.txt were the log's: nobody gave them")
        if (index["origin"], index["size"]) != (checkpoint.origin, checkpoint.size):
            raise Wrong(
                f"the list of files names {index['origin']} with {index['size']} events, the log others"
            )
        self._say("holds", f"{checkpoint.origin} signed a checkpoint of {checkpoint.size} events")
        if not self.logs:
            self._say(
                "unchecked",
                "whether that key is the log's: it is the bundle's own word; give the key that you know, --log-key",
            )
        seen: list[datetime] = []
        for witness in self.witnesses:
            at = seen_by(checkpoint, witness)
            if at is None:
                self._say("wrong", f"{witness.name} has not cosigned the checkpoint")
            else:
                seen.append(at)
                self._say("holds", f"{witness.name} saw that checkpoint at {write_moment(at)}")
        if seen and read_moment(index["at"]) - max(seen) > _SEEN_AGAIN:
            self._say(
                "unchecked",
                f"what happened behind that checkpoint up to {index['at']}:"
                f" nobody saw it since {write_moment(max(seen))}",
            )
        if not self.witnesses:
            self._say(
                "unchecked", "whether anybody outside saw this log: give the keys of witnesses, --witness"
            )
        return checkpoint

    def _events(self, checkpoint: Checkpoint) -> None:
        if self.bundle.index.get("people") is False:
            for name in (name for folder in ABOUT_PEOPLE for name in self.bundle.below(folder)):
                self._say("wrong", f"{name} is about people, and the list of files says that nothing here is")
        names = self.bundle.below("events")
        for name in names:
            if name.endswith(".json"):
                self._try(self._event, name, checkpoint)
            elif f"{name.rpartition('.')[0]}.json" not in self.bundle.files:
                self._say("wrong", f"{name} is a proof of an event that is not in the bundle")
        self.events.sort(key=lambda event: event.position)
        self._of_others()
        if len(names) == 2 * len(self.events):
            self._say("holds", f"{len(self.events)} events, each in the tree of that checkpoint")
        self._say(
            "unchecked",
            f"whether more happened up to {self.bundle.index['at']}, a revocation say, and was left out: only the whole"
            " log tells, by placet audit verify",
        )

    def _event(self, name: str, checkpoint: Checkpoint) -> None:
        raw, proof = self.bundle.file(name), read_proof(self.bundle.file(name[:-5] + ".tlog-proof"))
        event, leaf = read_object(raw, name), read_object(proof.leaf, f"the leaf of {name}")
        if leaf["digest"] != sha256_of(raw):
            raise Wrong(f"{name} was changed: the log has {leaf['digest']} at position {leaf['position']}")
        said = (event["id"], event["type"], event["source"])
        if (leaf["id"], leaf["type"], leaf["producer"]) != said or leaf["position"] != proof.place + 1:
            raise Wrong(f"{name} is another event than its leaf names")
        if root_by(leaf_hash(proof.leaf), proof.place, checkpoint.size, proof.hashes) != checkpoint.root:
            raise Wrong(f"{name} is not in the tree of the checkpoint: it was changed, moved or made up")
        if proof.checkpoint != self.bundle.file("checkpoint.txt"):
            raise Wrong(f"the proof of {name} holds another checkpoint than the bundle")
        if name != f"events/{leaf['position']:012}.json":
            raise Wrong(f"{name} is at position {leaf['position']} of the log")
        if not event["type"].startswith(f"placet.{event['source']}."):
            raise Wrong(f"{name} is {event['type']}, and {event['source']} has no right to say that")
        if read_moment(event["time"]) > read_moment(self.bundle.index["at"]):
            raise Wrong(
                f"{name} happened at {event['time']}, and the bundle goes up to {self.bundle.index['at']}"
            )
        kind = re.sub(r"\.v[0-9]+$", "", event["type"])
        who, of = event.get("authid", ""), event["partitionkey"]
        self.events.append(Event(leaf["position"], kind, read_moment(event["time"]), who, event["data"], of))

    def _of_others(self) -> None:
        """Of another project there is how an image was built that this one took over, and nothing else."""
        project = self.bundle.index["project"]
        reused = {each.data.get("image") for each in self.of("placet.builder.image.reused")}
        for each in self.events:
            is_taken_over = each.kind == "placet.builder.image.built" and each.data.get("image") in reused
            if each.of not in (project, _PLATFORM) and not is_taken_over:
                self._say("wrong", f"position {each.position} is of {each.of}, and the bundle of {project}")

    def _strays(self) -> list[str]:
        """Evidence whose digest neither an event has, nor what an event names."""
        waiting = [self.bundle.files[name] for name in self.bundle.below("events")]
        evidence: dict[str, list[str]] = {}
        for folder in EVIDENCE:
            for name in self.bundle.below(folder):
                evidence.setdefault(sha256_of(self.bundle.files[name]), []).append(name)
        while waiting:
            data = waiting.pop()
            for digest in {each for text in (data, _signed_in(data)) for each in _DIGEST.findall(text)}:
                names = evidence.pop(digest.decode(), None)
                if names is not None:
                    waiting.append(self.bundle.files[names[0]])
        return sorted(name for names in evidence.values() for name in names)

    def _misnamed(self) -> list[str]:
        """Evidence that is not under the name that it has by what names it: it would be taken for something else."""
        files = self.bundle.files
        digests = {name: sha256_of(files[name]) for folder in EVIDENCE for name in self.bundle.below(folder)}
        found, known = set(digests), set[Named]()
        waiting = [each for event in self.events for each in named_in(event.kind, event.data)]
        while waiting:
            each = waiting.pop()
            if each.digest is None or each in known:
                continue
            known.add(each)
            for path in (each.path, beside(each.path, each.digest)):
                if each.kind != "artifact":
                    if digests.get(path) == each.digest:
                        found.discard(path)
                elif digests.get(path + MANIFEST) == each.digest:
                    found.discard(path + MANIFEST)
                    layers = read_object(files[path + MANIFEST], path + MANIFEST).get("layers") or [{}]
                    if path in found and digests[path] == layers[0].get("digest"):
                        found.remove(path)
                        if path.startswith(CERTIFICATES):
                            waiting.extend(named_by_certificate(files[path]))
        return sorted(found)

    def _read_by_people(self, checkpoint: Checkpoint) -> None:
        """Nothing signs these two, and they are what most people look at. So they are made again."""
        files, project, at = self.bundle.files, self.bundle.index["project"], self.bundle.index["at"]
        said = [said_in(each.position, files[f"events/{each.position:012}.json"]) for each in self.events]
        left_out = left_out_of(self.bundle.file(README))
        self._same(PAGE, dossier(project, at, said, files))
        self._same(README, readme(project, checkpoint.origin, at, left_out))
        told = [
            f"{count} {what}"
            for count, what in ((left_out.windows, "windows"), (left_out.private, "private events"))
            if count
        ]
        own_word = f"; that {' and '.join(told)} were left out is their own word" if told else ""
        self._say("holds", f"{PAGE} and {README} say what the events and files say, to the letter{own_word}")

    def _same(self, name: str, words: str) -> None:
        if self.bundle.file(name) == words.encode():
            return
        here = self.bundle.file(name).decode("utf-8", "replace").split("\n")
        there = words.split("\n")
        least = min(len(here), len(there))
        number = next((each for each in range(least) if here[each] != there[each]), least)
        line = here[number].strip()[:_SHOWN] if number < len(here) else "its end"
        raise Wrong(f"{name} was changed: nothing in the log says what line {number + 1} does, {line}")

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
                raise Wrong(
                    f"{what} is signed with {kid} as of {write_moment(at)}, when that key did not sign"
                )
        return statement

    # Rules.

    def _published(self, event: Event) -> None:
        data = event.data
        self._one_version(data["policy"], data["version"], data["digest"])

    def _one_version(self, id: str, version: int, digest: str) -> None:
        """A version of a policy is one file, whoever names it. Raises Wrong for another one."""
        before = self._versions.setdefault((id, version), digest)
        if before != digest:
            raise Wrong(f"version {version} of the policy {id} is {digest}, and was {before} before")

    def _policy(self, reference: dict[str, Any]) -> dict[str, Any]:
        digest = reference["digest"]
        self._one_version(reference["id"], reference["version"], digest)
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
        self._same_grounds(said, event, what)
        facts = {each["stage"]: each for each in said.get("facts") or ()}
        for stage in ("submit", "certify"):
            verdicts = [each for each in said["verdicts"] if each["stage"] == stage]
            if stage in facts:
                self._try(self._again, policies, stage, facts[stage], verdicts, what)
            else:
                self._say("unchecked", f"{what}: what the rules of stage {stage} saw was not recorded")
        if "certify" in facts:
            self._try(self._seen_of, facts["certify"], said, subjects, what)
        self._forbidden(
            policies,
            said["verdicts"],
            {each["rule"] for each in exceptions},
            bool(said.get("breakGlass")),
            what,
        )
        for each in exceptions:
            self._exception(each, said, subjects, event, what)
        for each in approvals:
            self._approval(each, said, subjects, event, what)
        self._enough(said, approvals, span, what)
        if exceptions or approvals:
            words = (
                f"{len(exceptions)} exceptions and {len(approvals)} approvals, each given by another person"
            )
            self._say("holds", f"{what}: {words}")

    def _same_grounds(self, said: dict[str, Any], event: Event, what: str) -> None:
        """What was signed names the facts and the policies that the log names: as the release was cleared, and now."""
        cleared = [
            each
            for each in self.of("placet.certifier.release.cleared")
            if (each.data["project"], each.data["release"]) == (said["project"], said["release"])
            and each.position < event.position
        ]
        if not cleared:
            self._say("unchecked", f"{what}: that its source was cleared is not in the bundle")
        recorded = {"certify": event.data.get("facts")}
        if cleared:
            recorded["submit"] = cleared[-1].data.get("facts")
        for each in said.get("facts") or ():
            if each["stage"] in recorded and each["facts"] != (recorded[each["stage"]] or {}).get("facts"):
                raise Wrong(f"{what} names other facts of stage {each['stage']} than the log")
        signed = {each["digest"] for each in said["policies"]}
        named = {each["digest"] for one in (*cleared[-1:], event) for each in one.data.get("policies", ())}
        if cleared and "policies" in event.data and signed != named:
            raise Wrong(f"{what} names other policies than the log")
        if not signed:
            self._say("unchecked", f"{what}: no policy was asked, so nobody judged what it is of")

    def _seen_of(
        self, recorded: dict[str, Any], said: dict[str, Any], subjects: dict[str, str], what: str
    ) -> None:
        """The facts are of what is certified, and of the approvals that were counted. Raises Wrong."""
        facts = self._facts(recorded, what)
        image = next((digest for of, digest in subjects.items() if of != _SOURCES), None)
        for of, seen, certified in (
            ("project", facts.get("project", {}).get("name"), said["project"]),
            ("source", facts.get("source", {}).get("digest"), subjects.get(_SOURCES)),
            ("image", facts.get("image", {}).get("digest"), image),
        ):
            if seen is not None and seen != certified:
                raise Wrong(f"{what}: the rules saw the {of} {seen}, and {certified} was certified")
        counted = [each for each in said.get("approvals") or () if not each.get("breakGlass")]
        given = facts.get("approvals", {}).get("given", ())
        if sorted(sorted(each["roles"]) for each in given) != sorted(
            sorted(each["roles"]) for each in counted
        ):
            raise Wrong(f"{what}: the rules saw {len(given)} approvals, and {len(counted)} were counted")

    @staticmethod
    def _enough(
        said: dict[str, Any],
        approvals: list[dict[str, Any]],
        span: tuple[datetime, datetime],
        what: str,
    ) -> None:
        """Nobody counts twice, and what is certified in haste takes two and holds for a day. Raises Wrong."""
        for is_in_haste in (False, True):
            people = [each["givenBy"] for each in approvals if bool(each.get("breakGlass")) is is_in_haste]
            if len(set(people)) != len(people):
                raise Wrong(f"{what} counts two approvals of one person")
            if is_in_haste and said.get("breakGlass") and len(people) < 2:
                raise Wrong(f"{what} was given in haste, by {len(people)} people: it takes two")
        if said.get("breakGlass") and span[1] - span[0] > _IN_HASTE:
            raise Wrong(f"{what} was given in haste, and holds longer than a day")

    def _newest(self, references: list[dict[str, Any]]) -> list[dict[str, Any]]:
        newest: dict[str, dict[str, Any]] = {}
        for each in references:
            if each["id"] not in newest or newest[each["id"]]["version"] < each["version"]:
                newest[each["id"]] = each
        return [self._policy(each) for each in newest.values()]

    def _exception(
        self, used: dict[str, Any], said: dict[str, Any], subjects: dict[str, str], event: Event, what: str
    ) -> None:
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
        if data.get("source") is not None and data["source"] != subjects.get(_SOURCES):
            raise Wrong(f"{what} stands on the exception {name}, which is for another source")
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
        told = sorted(data["roles"]), bool(data.get("break_glass"))
        if told != (sorted(counted["roles"]), bool(counted.get("breakGlass"))):
            raise Wrong(f"{what} counts the approval {name} as one in other roles, or of another kind")
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
        words: list[str] = self._try(self._standing, project, at) or []
        return words

    def _standing(self, project: str, at: datetime) -> list[str]:
        issued: dict[str, Event] = {}
        against: dict[str, str] = {}
        revoked: set[str] = set()
        serving = ended = None
        for event in self.events:
            if event.time > at or event.data.get("project") != project:
                continue
            noun, _, verb = event.kind.rpartition(".")
            name = event.data.get("certificate", "")
            if event.kind == "placet.certifier.certificate.issued":
                issued[name] = event
            elif noun == "placet.certifier.certificate" and verb in ("suspended", "revoked", "expired"):
                if name not in revoked:
                    against[name] = f"{verb} at position {event.position}"
                if verb == "revoked":
                    revoked.add(name)
            elif event.kind == "placet.certifier.certificate.reinstated" and name not in revoked:
                against.pop(name, None)
            elif event.kind == "placet.deployer.model.started":
                serving, ended = event, None
            elif noun == "placet.deployer.model" and (
                verb in _ENDS or (verb in _GIVES_WAY and _is_of(event, serving))
            ):
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
            how = (_ENDS | _GIVES_WAY)[ended.kind.rpartition(".")[2]]
            running = f"none was served: it {how} at position {ended.position}"
        else:
            running = (
                "none was served" if serving is None else f"release {serving.data.get('release')} was served"
            )
        return [*words, running]
