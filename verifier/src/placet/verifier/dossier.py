"""Technical documentation as Annex IV of Regulation (EU) 2024/1689 asks for it, out of what is in a bundle.

Each field says where it comes from: `automatic` is what the platform saw or measured itself, `attested` what people
declared, answered or approved, `missing` what nobody said here, with where it could be said. Nothing is made up to fill
a field. Each statement names the position of the log, or the file of the bundle, that it is from. Pure.

Whoever makes a bundle and whoever checks it make the page with this, from the events and from what they name by digest,
so a page in which somebody changed a word is another one. What a file is called decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Literal, NamedTuple

from placet.verifier.documents import read_object, sha256_of
from placet.verifier.failures import Wrong

PAGE = "dossier.html"
FORM = 1
"""Goes up with each change of what the page says of the same events: whether one of another form is right nobody can
tell here."""
Mark = Literal["automatic", "attested", "missing"]
_FROM = ("facts/", "images/")
"""Where the files lie that the page draws on."""


class Said(NamedTuple):
    """An event. `kind` is its type, without `placet.` and the version; `time` is as the event has it."""

    position: int
    kind: str
    time: str
    data: Mapping[str, Any]


def said_in(position: int, raw: bytes) -> Said:
    """What an event of the log says. Raises Wrong where it is none."""
    event = read_object(raw, f"the event at position {position}")
    kind = event["type"].rpartition(".")[0]
    if kind.startswith("placet."):
        kind = kind[len("placet.") :]
    return Said(position, kind, event["time"], event["data"])


class Statement(NamedTuple):
    mark: Mark
    words: str
    source: str


class Field(NamedTuple):
    number: str
    title: str
    statements: tuple[Statement, ...]

    @property
    def mark(self) -> Mark:
        found = {each.mark for each in self.statements} - {"missing"}
        return "missing" if not found else "automatic" if found == {"automatic"} else "attested"


class _Known:
    """What the fields draw on, each with where it is from.

    All of one release: the one that served last, of a project that never served the one that was certified last, and
    before that the one that was cleared last. A page that mixed two would be of a model that there never was.
    """

    def __init__(self, said: Sequence[Said], files: Mapping[str, bytes]) -> None:
        self._said = said
        self._files = files
        self._paths = {
            sha256_of(files[path]): path for path in sorted(files, reverse=True) if path.startswith(_FROM)
        }
        self.started = self.last("deployer.model.started")
        meant = self.started or self.last("certifier.certificate.issued")
        meant = meant or self.last("certifier.release.cleared")
        of = {name: meant.data.get(name) for name in ("project", "release")} if meant else {}
        self.cleared = self.last("certifier.release.cleared", **of)
        self.certified = self.last("certifier.certificate.issued", **of)
        image = self.certified or self.last("indexer.image.indexed", **of) or self.started
        # An earlier release may have built it, or another project.
        which = {"image": image.data.get("image")} if image else of
        self.built = self.last("builder.image.built", **which)
        self.indexed = self.last("indexer.image.indexed", **which)
        recorded = (self.cleared.data.get("facts") or {}) if self.cleared else {}
        self.facts, self.facts_file = self._document(recorded.get("facts"))
        artifact, _ = self._document(self.built.data.get("bom") if self.built else None)
        layers = artifact.get("layers") or [{}]
        self.bom, self.bom_file = self._document(layers[0].get("digest"))

    def all(self, *kinds: str) -> list[Said]:
        return [each for each in self._said if each.kind in kinds]

    def last(self, kind: str, **of: Any) -> Said | None:
        """The last of a kind that says this."""
        return next(
            (
                each
                for each in reversed(self._said)
                if each.kind == kind and all(each.data.get(name) == value for name, value in of.items())
            ),
            None,
        )

    def fact(self, path: str) -> Any:
        value: Any = self.facts
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    @property
    def card(self) -> dict[str, Any]:
        """The model card, as the bill of materials carries it."""
        components: list[dict[str, Any]] = self.bom.get("components") or []
        return next((each["modelCard"] for each in components if "modelCard" in each), {})

    def _document(self, digest: str | None) -> tuple[dict[str, Any], str]:
        """What a file of that digest says, and where it lies. Nothing of one that is not here, or is no document."""
        path = self._paths.get(digest or "")
        if path is None:
            return {}, ""
        try:
            return read_object(self._files[path], path), path
        except Wrong:
            return {}, ""


def dossier(project: str, at: str, said: Sequence[Said], files: Mapping[str, bytes]) -> str:
    """The page. The same events and files give the same text."""
    fields = annex_iv(said, files)
    counts = {
        mark: sum(each.mark == mark for each in fields) for mark in ("automatic", "attested", "missing")
    }
    told = ", ".join(f"{count} {mark}" for mark, count in counts.items())
    return _PAGE.format(
        project=escape(project), at=escape(at), told=told, fields="\n".join(map(_shown, fields)), style=_STYLE
    )


def annex_iv(said: Sequence[Said], files: Mapping[str, bytes]) -> list[Field]:
    known = _Known(said, files)
    return [
        Field(number=number, title=title, statements=tuple(draw(known)) or (_missing(where),))
        for number, title, draw, where in _FIELDS
    ]


def _missing(where: str) -> Statement:
    return Statement(mark="missing", words="nothing is said of this here", source=where)


def _at(said: Said) -> str:
    return f"position {said.position}, {said.kind}, {said.time}"


def _purpose(known: _Known) -> Iterator[Statement]:
    for each in (known.card.get("considerations") or {}).get("useCases") or ():
        yield Statement(mark="attested", words=f"Purpose: {each}", source=known.bom_file)
    if known.cleared is not None:
        data = known.cleared.data
        words = f"Release {data['release']}, of the source {data['source']}"
        yield Statement(mark="automatic", words=words, source=_at(known.cleared))
        if data.get("risk_class"):
            words = f"Declared risk class: {data['risk_class']}"
            yield Statement(mark="attested", words=words, source=_at(known.cleared))


def _interaction(known: _Known) -> Iterator[Statement]:
    if known.started is not None:
        words = (
            f"Answers requests over HTTP at {known.started.data.get('url')}, by the Open Inference Protocol"
        )
        yield Statement(mark="automatic", words=words, source=_at(known.started))


def _versions(known: _Known) -> Iterator[Statement]:
    if known.indexed is not None:
        data = known.indexed.data
        words = (
            f"Python {data.get('python') or 'of its own'}, base {data.get('base')}, lock {data.get('lock')}"
        )
        yield Statement(mark="automatic", words=words, source=_at(known.indexed))
    libraries = [each for each in known.bom.get("components") or () if each.get("type") == "library"]
    if libraries:
        listed = ", ".join(f"{each.get('name')} {each.get('version', '')}".strip() for each in libraries)
        yield Statement(mark="automatic", words=f"{len(libraries)} packages: {listed}", source=known.bom_file)


def _forms(known: _Known) -> Iterator[Statement]:
    if known.indexed is not None:
        words = f"An OCI image, {known.indexed.data['image']}, served as a REST API"
        yield Statement(mark="automatic", words=words, source=_at(known.indexed))


def _hardware(known: _Known) -> Iterator[Statement]:
    if known.cleared is not None:
        asked = known.cleared.data["resources"]
        words = (
            f"{asked['cpu_millis'] / 1000:g} CPU, {asked['memory_bytes'] / 2**20:g} MiB of memory,"
            f" {asked['gpus']} GPUs for each of {asked['min_replicas']} to {asked['max_replicas']} replicas"
        )
        yield Statement(mark="attested", words=words, source=_at(known.cleared))


def _interface(known: _Known) -> Iterator[Statement]:
    if known.started is not None:
        words = f"A page that is made from the model's signature: {known.started.data.get('url')}/docs"
        yield Statement(mark="automatic", words=words, source=_at(known.started))


def _instructions(known: _Known) -> Iterator[Statement]:
    if known.fact("card.present"):
        sections = ", ".join(map(str, known.fact("card.sections") or ())) or "none with a title"
        words = f"The model card {known.fact('card.declared')}, with these sections: {sections}"
        yield Statement(mark="attested", words=words, source=known.facts_file)


def _development(known: _Known) -> Iterator[Statement]:
    for each in known.all("gateway.metadata.reported"):
        run = each.data.get("run")
        if run is not None:
            words = f"Run {run['run']} of {run['job']} ({run['step']}): {run['state']}"
            yield Statement(mark="attested", words=words, source=_at(each))


def _design(known: _Known) -> Iterator[Statement]:
    if known.cleared is not None:
        words = f"A model of the format {known.cleared.data['format']}"
        yield Statement(mark="automatic", words=words, source=_at(known.cleared))
    parameters = known.card.get("modelParameters") or {}
    for name in ("task", "architectureFamily", "modelArchitecture"):
        if parameters.get(name):
            yield Statement(mark="attested", words=f"{name}: {parameters[name]}", source=known.bom_file)


def _architecture(known: _Known) -> Iterator[Statement]:
    if known.built is not None:
        by_itself = known.cleared is not None and known.cleared.data.get("dockerfile")
        how = "by the project's own Dockerfile" if by_itself else "from its source, without running any of it"
        words = f"Built {how}, into {known.built.data['image']}"
        yield Statement(mark="automatic", words=words, source=_at(known.built))
    if known.bom_file:
        words = "What each component needs is in the bill of materials"
        yield Statement(mark="automatic", words=words, source=known.bom_file)


def _data(known: _Known) -> Iterator[Statement]:
    for each in known.fact("data.sets") or ():
        words = ", ".join(f"{name}: {_plain(value)}" for name, value in each.items())
        yield Statement(mark="attested", words=words, source=known.facts_file)
    if known.fact("data.names") and not known.fact("data.sets"):
        words = "Declared data: " + ", ".join(map(str, known.fact("data.names")))
        yield Statement(mark="attested", words=words, source=known.facts_file)
    for each in known.all("gateway.metadata.reported"):
        for dataset in (each.data.get("run") or {}).get("inputs") or ():
            checks = dataset.get("checks") or ()
            held = f"; {sum(one['passed'] for one in checks)} of {len(checks)} checks held" if checks else ""
            yield Statement(
                mark="attested",
                words=f"Read {dataset['dataset']} ({dataset.get('version')}){held}",
                source=_at(each),
            )


def _plain(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _oversight(known: _Known) -> Iterator[Statement]:
    for name, words in (
        ("governance.overseerNamed", "Somebody is named who watches it"),
        ("governance.stopOwnerNamed", "Somebody is named who can stop it"),
    ):
        if known.fact(name):
            yield Statement(mark="attested", words=words, source=known.facts_file)
    tried = known.fact("governance.stopTestedAt")
    if tried:
        yield Statement(mark="attested", words=f"Stopping it was tried on {tried}", source=known.facts_file)
    for each in known.all("gateway.approval.given"):
        roles = ", ".join(each.data["roles"])
        words = f"Release {each.data['release']} was approved by {each.data['given_by']} as {roles}"
        yield Statement(mark="attested", words=words, source=_at(each))


def _changes_ahead(known: _Known) -> Iterator[Statement]:
    return iter(())


def _testing(known: _Known) -> Iterator[Statement]:
    overall = known.fact("evaluation.overall") or {}
    if overall:
        words = "Computed from the project's predictions: " + ", ".join(
            f"{name} {value:g}" for name, value in overall.items()
        )
        yield Statement(mark="automatic", words=words, source=known.facts_file)
    for each in known.fact("evaluation.parity") or ():
        words = "Between groups by " + ", ".join(f"{name} {value}" for name, value in each.items())
        yield Statement(mark="automatic", words=words, source=known.facts_file)
    if known.started is not None and known.started.data.get("sample") == "answered":
        words = "It answered the project's sample request as expected before it went live"
        yield Statement(mark="automatic", words=words, source=_at(known.started))
    for each in known.all("gateway.metadata.reported"):
        evaluation: dict[str, Any] = each.data.get("evaluation") or {}
        for metric in evaluation.get("metrics") or ():
            words = f"{metric['metric']} {metric['value']:g} on {evaluation['of']['dataset']}"
            if metric.get("slice"):
                words += f", of {metric['slice']}"
            yield Statement(mark="attested", words=words, source=_at(each))


def _security(known: _Known) -> Iterator[Statement]:
    if known.certified is not None:
        data = known.certified.data
        words = f"The certificate {data['certificate']} is signed, and what runs is held against it by digest"
        yield Statement(mark="automatic", words=words, source=_at(known.certified))
    yield from _verdicts(
        known,
        ("advisories.", "artifact.", "build.", "image.", "licences.", "scan.", "model.", "requirements."),
    )


def _verdicts(known: _Known, prefixes: tuple[str, ...]) -> Iterator[Statement]:
    for each in (known.cleared, known.certified):
        if each is None:
            continue
        for verdict in each.data["verdicts"]:
            if verdict["rule"].startswith(prefixes):
                yield Statement(mark="automatic", words=_verdict(verdict), source=_at(each))


def _verdict(verdict: Mapping[str, Any]) -> str:
    """Why it was certified all the same where a rule was not kept."""
    words = f"The rule {verdict['rule']}: {verdict['result']}"
    if verdict["result"] == "pass":
        return words
    if verdict.get("exception"):
        words += f", excepted by {verdict['exception']}"
    elif verdict["on_fail"] == "warn":
        words += ", which warns and forbids nothing"
    return f"{words}: {verdict['why']}" if verdict.get("why") else words


def _functioning(known: _Known) -> Iterator[Statement]:
    for each in known.fact("evaluation.groups") or ():
        words = ", ".join(f"{name}: {value}" for name, value in each.items())
        yield Statement(mark="automatic", words=f"Of a group: {words}", source=known.facts_file)
    considerations = known.card.get("considerations") or {}
    for name in ("technicalLimitations", "ethicalConsiderations"):
        for each in considerations.get(name) or ():
            yield Statement(mark="attested", words=f"{name}: {each}", source=known.bom_file)


def _metrics(known: _Known) -> Iterator[Statement]:
    return iter(())


def _risk(known: _Known) -> Iterator[Statement]:
    for each in known.all("certifier.assessment.scored"):
        data = each.data
        words = (
            f"Assessed with {data['questionnaire']} {data['version']}: level {data['level']}, {data['label']};"
            f" {len(data['missing'])} of {len(data['requires'])} required mitigations are not in place"
        )
        yield Statement(mark="attested", words=words, source=_at(each))


def _lifecycle(known: _Known) -> Iterator[Statement]:
    for each in known.all(
        "certifier.certificate.issued",
        "certifier.certificate.suspended",
        "certifier.certificate.reinstated",
        "certifier.certificate.revoked",
        "certifier.certificate.expired",
        "certifier.release.refused",
        "certifier.review.owed",
        "gateway.exception.granted",
        "gateway.exception.withdrawn",
        "deployer.model.started",
        "deployer.model.stopped",
        "deployer.model.quarantined",
        "deployer.model.deleted",
    ):
        release, rule = each.data.get("release"), each.data.get("rule")
        words = (
            each.kind.partition(".")[2]
            if release is None
            else f"Release {release}: {each.kind.partition('.')[2]}"
        )
        if rule is not None:
            words += f", {rule}"
        yield Statement(mark="automatic", words=words, source=_at(each))


def _standards(known: _Known) -> Iterator[Statement]:
    for judged in (known.cleared, known.certified):
        for each in judged.data.get("policies") or () if judged is not None else ():
            words = (
                f"Version {each['version']} of the policy {each['id']}, whose rules cite what they are from"
            )
            yield Statement(mark="automatic", words=words, source=each["digest"])


def _declaration(known: _Known) -> Iterator[Statement]:
    return iter(())


def _afterwards(known: _Known) -> Iterator[Statement]:
    if known.certified is not None:
        for each in known.certified.data.get("conditions") or ():
            words = (
                f"While it serves, {each['metric']} over {each['window']} seconds is at most {each['max']:g};"
                f" else: {each['action']}"
            )
            yield Statement(mark="attested", words=words, source=_at(known.certified))
    for each in known.all("gateway.metadata.reported"):
        incident = each.data.get("incident")
        if incident is not None:
            words = f"Incident {incident['incident']}, {incident['severity']}: {incident['status']}"
            yield Statement(mark="attested", words=words, source=_at(each))


_CARD = "the model card of the project says it"
_FIELDS = (
    (
        "1 (a)",
        "Intended purpose, provider, version and its relation to previous ones",
        _purpose,
        "placet.yaml: governance.purpose",
    ),
    (
        "1 (b)",
        "Interaction with hardware or software that is no part of it",
        _interaction,
        "it was never started",
    ),
    (
        "1 (c)",
        "Versions of relevant software, and requirements of updates",
        _versions,
        "no image was indexed",
    ),
    ("1 (d)", "Forms in which it is put into service", _forms, "no image was indexed"),
    ("1 (e)", "Hardware on which it is to run", _hardware, "placet.yaml: resources"),
    (
        "1 (f)",
        "Photographs or illustrations of the product that it is part of",
        _changes_ahead,
        "only for parts of products; kept elsewhere",
    ),
    ("1 (g)", "The user interface that is provided to the deployer", _interface, "it was never started"),
    ("1 (h)", "Instructions for use", _instructions, "placet.yaml: card"),
    (
        "2 (a)",
        "Methods and steps of its development, third-party tools",
        _development,
        "report its runs: `placet report FILE`",
    ),
    ("2 (b)", "Design specifications, general logic, key design choices", _design, _CARD),
    ("2 (c)", "System architecture, computational resources", _architecture, "no image was built"),
    (
        "2 (d)",
        "Data requirements, provenance, scope, selection, labelling, cleaning",
        _data,
        "placet.yaml: governance.data",
    ),
    (
        "2 (e)",
        "Assessment of human oversight measures (Article 14)",
        _oversight,
        "placet.yaml: governance.oversight",
    ),
    ("2 (f)", "Pre-determined changes to the system and its performance", _changes_ahead, _CARD),
    (
        "2 (g)",
        "Validation and testing procedures, data, metrics, discriminatory impacts, reports",
        _testing,
        "placet.yaml: governance.evaluation; `placet report FILE`",
    ),
    ("2 (h)", "Cybersecurity measures", _security, "it was never certified"),
    (
        "3",
        "Monitoring, functioning and control: limitations, accuracy for groups, unintended outcomes",
        _functioning,
        "placet.yaml: governance.evaluation; the model card",
    ),
    ("4", "Why the performance metrics are appropriate for it", _metrics, _CARD),
    ("5", "Risk management system (Article 9)", _risk, "answer a questionnaire: `placet assess`"),
    ("6", "Relevant changes through its lifecycle", _lifecycle, "nothing of it was certified"),
    ("7", "Harmonised standards and other solutions that are applied", _standards, "no policy judged it"),
    ("8", "EU declaration of conformity (Article 47)", _declaration, "kept where the provider keeps it"),
    (
        "9",
        "Evaluation of performance after it is on the market (Article 72)",
        _afterwards,
        "placet.yaml: governance.monitoring",
    ),
)


def _shown(field: Field) -> str:
    statements = "\n".join(
        f'<li><span class="{each.mark}">{each.mark}</span> {escape(each.words)}'
        f" <small>{escape(each.source)}</small></li>"
        for each in field.statements
    )
    return (
        f'<section><h2><span class="{field.mark}">{field.mark}</span> {escape(field.number)} {escape(field.title)}</h2>'
        f"\n<ul>\n{statements}\n</ul></section>"
    )


def marks(fields: Iterable[Field]) -> dict[str, Mark]:
    return {each.number: each.mark for each in fields}


_STYLE = """\
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d2433; }
h2 { font-size: 1.05rem; margin: 1.5rem 0 .25rem; } ul { margin: 0; padding-left: 1.25rem; } li { margin: .15rem 0; }
small { color: #5b6475; overflow-wrap: anywhere; } li { overflow-wrap: anywhere; }
span { font: .75rem/1.4 ui-monospace, monospace; padding: .1rem .4rem; border-radius: .25rem; border: 1px solid; }
.automatic { color: #0a5c36; background: #e6f5ec; } .attested { color: #1a4a8a; background: #e7effa; }
.missing { color: #8a1f11; background: #fbeae7; }
@media print { body { margin: 0; max-width: none; } section { break-inside: avoid; } }"""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{project}: technical documentation</title>
<style>
{style}
</style>
</head>
<body>
<h1>{project}: technical documentation</h1>
<p>As Annex IV of Regulation (EU) 2024/1689 asks for it, at {at}: {told}.</p>
<p><span class="automatic">automatic</span> is what the platform saw or measured itself,
<span class="attested">attested</span> what people declared, answered or approved,
<span class="missing">missing</span> what nobody said, with where it could be said. A field is attested as soon as
anything in it is. People are named by opaque ids.</p>
{fields}
</body>
</html>
"""
