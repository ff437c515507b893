"""What people call the facts, for conditions that are said in words. A fact that is not here has its own name.

`name` stands where a value would, `there` and `none` are whole sentences: of what is true or not, of a text that is
given or empty, of a list that has something or nothing. `one` and `many` are what is in a list.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FactName:
    name: str = ""
    there: str = ""
    none: str = ""
    one: str = ""
    many: str = ""


def _is(there: str, none: str, name: str = "") -> FactName:
    return FactName(name=name, there=there, none=none)


def _of(one: str, many: str, name: str = "", there: str = "", none: str = "") -> FactName:
    return FactName(name=name or f"the {many}", one=one, many=many, there=there, none=none)


IN_A_LIST = "[]"
"""Behind a list's path: what is said is about one of it."""

FACT_NAMES = {
    "now": FactName("the moment of the decision"),
    "project.name": FactName("the project's name"),
    "project.access": FactName("who may call the model"),
    "source.digest": FactName("the source that was cleared"),
    "source.dockerfile": _is("the project builds its own image", "the platform builds the project's image"),
    "model.format": FactName("the model's format"),
    "model.nearest": _is(
        "the format that was probably meant is known",
        "no known format is like the one that is named",
        "the format that was probably meant",
    ),
    "model.present": _is("the model's file is there", "the model's file is missing"),
    "model.size": FactName("the size of the model in bytes"),
    "model.recognised": _is(
        "it is recognised what the model's file is",
        "it is not recognised what the model's file is",
        "the format that the model's file is recognised as",
    ),
    "model.served": _is(
        "it is known as what the model would be served",
        "it is not known as what the model would be served",
        "the format that the model is served as",
    ),
    "model.serialization": _is(
        "it is known how the model's file was saved",
        "it is not known how the model's file was saved",
        "the way in which the model's file was saved",
    ),
    "model.unserved": _is(
        "something keeps the model from being served",
        "nothing keeps the model from being served",
        "what keeps the model from being served",
    ),
    "model.problems": _of(
        "problem of the model's own Python",
        "problems of the model's own Python",
        there="the model's own Python has problems",
        none="the model's own Python has no problem",
    ),
    "scan.denied": _of("name in a pickle that can run anything", "names in pickles that can run anything"),
    "scan.unlisted": _of(
        "name in a pickle that is not listed as harmless", "names in pickles that are not listed as harmless"
    ),
    "scan.unreadable": _of("pickle that cannot be read", "pickles that cannot be read"),
    "scan.untrustedTypes": _of(
        "type in a skops file that is not trusted", "types in skops files that are not trusted"
    ),
    "scan.unreadableTypes": _of(
        "skops file whose types cannot be read", "skops files whose types cannot be read"
    ),
    "scan.outsideData": _of(
        "file outside of its own folder that the model reads",
        "files outside of its own folder that the model reads",
    ),
    "scan.programs": _of(
        "exported program with more than tensors and listed operators",
        "exported programs with more than tensors and listed operators",
    ),
    "sample.declared": _is("a sample request is named", "no sample request is named", "the sample request"),
    "sample.present": _is("the sample request's file is there", "the sample request's file is missing"),
    "sample.readable": _is("the sample request can be read", "the sample request cannot be read"),
    "sample.hasRequest": _is("the sample has a request", "the sample has no request"),
    "sample.hasResponse": _is("the sample has an expected answer", "the sample has no expected answer"),
    "sample.problems": _of("problem of the sample request", "problems of the sample request"),
    "reference.declared": _is(
        "reference rows, by which drift is told, are named",
        "no reference rows are named",
        "the reference rows",
    ),
    "reference.present": _is("the reference rows' file is there", "the reference rows' file is missing"),
    "reference.problems": _of("problem of the reference rows", "problems of the reference rows"),
    "requirements.declared": _is(
        "a file of requirements is named", "no file of requirements is named", "the file of requirements"
    ),
    "requirements.present": _is("the file of requirements is there", "the file of requirements is missing"),
    "requirements.unpinned": _of("requirement without one version", "requirements without one version"),
    "requirements.unreadable": _of("requirement that cannot be read", "requirements that cannot be read"),
    "requirements.refused": _of(
        "requirement of a kind that is refused", "requirements of a kind that is refused"
    ),
    "requirements.otherThanSaved": _of(
        "package in another version than the model was saved with",
        "packages in other versions than the model was saved with",
    ),
    "requirements.unnamed": _of(
        "package that the model's code imports and nothing names",
        "packages that the model's code imports and nothing names",
    ),
    "build.dockerfile": _is(
        "the project names a Dockerfile of its own",
        "the project names no Dockerfile of its own",
        "the project's Dockerfile",
    ),
    "build.stray": _is(
        "a Dockerfile lies in the project without being used",
        "no Dockerfile lies in the project without being used",
        "the Dockerfile that is not used",
    ),
    "build.present": _is("the Dockerfile is there", "the Dockerfile is missing"),
    "build.problem": _is(
        "the Dockerfile has a problem", "the Dockerfile has no problem", "the Dockerfile's problem"
    ),
    "build.loose": _of(
        "thing the Dockerfile starts from or fetches that can be another tomorrow",
        "things the Dockerfile starts from or fetches that can be others tomorrow",
    ),
    "resources.maxReplicas": FactName("the most replicas that it may have"),
    "resources.gpu": FactName("the number of GPUs"),
    "governance.trial": _is("it is a trial", "it is no trial"),
    "governance.riskClass": _is(
        "a risk class is declared", "no risk class is declared", "the declared risk class"
    ),
    "governance.ownerNamed": _is("an owner is named", "no owner is named"),
    "governance.purposeWords": FactName("the number of words that state the purpose"),
    "governance.builders": FactName("the number of people named as builders"),
    "governance.overseerNamed": _is(
        "somebody is named who watches the model", "nobody is named who watches the model"
    ),
    "governance.stopOwnerNamed": _is(
        "somebody is named who can stop the model", "nobody is named who can stop the model"
    ),
    "governance.stopTestedAt": _is(
        "it is declared when stopping the model was tried",
        "it is not declared when stopping the model was tried",
        "the day on which stopping the model was tried",
    ),
    "data.names": _of(
        "declared dataset", "declared datasets", there="data is declared", none="no data is declared"
    ),
    "data.withoutOrigin": _of("dataset without an origin", "datasets without an origin"),
    "data.withoutLicence": _of("dataset without a licence", "datasets without a licence"),
    "data.withoutPersonalData": _of(
        "dataset of which it is not said whether it is about persons",
        "datasets of which it is not said whether they are about persons",
    ),
    "data.personal": _of("dataset about persons", "datasets about persons"),
    "evaluation.declared": _is("an evaluation is named", "no evaluation is named", "the evaluation"),
    "evaluation.present": _is("the evaluation's file is there", "the evaluation's file is missing"),
    "evaluation.rows": FactName("the number of evaluated rows"),
    "evaluation.problems": _of("problem of the evaluation", "problems of the evaluation"),
    "evaluation.groups": _of("evaluated group", "evaluated groups"),
    "evaluation.groups[].rows": FactName("the number of the group's rows"),
    "evaluation.parity": _of("compared group of people", "comparisons between groups of people"),
    "evaluation.parity[].demographicParityRatio": FactName(
        "the ratio of the groups' favourable answers (demographic parity)"
    ),
    "evaluation.parity[].equalizedOddsDifference": FactName(
        "the difference between the groups' errors (equalized odds)"
    ),
    "card.declared": _is("a model card is named", "no model card is named", "the model card"),
    "card.present": _is("the model card is there", "the model card is missing"),
    "card.readable": _is("the model card can be read", "the model card cannot be read"),
    "card.licence": _is("the model card names a licence", "the model card names no licence", "the licence"),
    "card.words": FactName("the number of words in the model card"),
    "card.results": FactName("the number of results in the model card"),
    "card.sections": _of("section of the model card", "sections of the model card"),
    "image.source": _is(
        "the image says from which source it was built",
        "the image does not say from which source it was built",
        "the source that the image was built from",
    ),
    "image.format": _is(
        "the image says its format", "the image does not say its format", "the image's format"
    ),
    "image.lock": _is(
        "the image says its locked packages",
        "the image does not say its locked packages",
        "the digest of the image's locked packages",
    ),
    "image.base": _is(
        "the image says on which base it stands",
        "the image does not say on which base it stands",
        "the base that the image stands on",
    ),
    "image.python": _is(
        "the image says its Python", "the image does not say its Python", "the image's Python"
    ),
    "image.builder": _is(
        "the image says what built it", "the image does not say what built it", "what built the image"
    ),
    "contents.bills": _of("bill of materials", "bills of materials", name="the bills of materials"),
    "contents.problem": _is(
        "the bills of materials have a problem",
        "the bills of materials have no problem",
        "the problem of the bills of materials",
    ),
    "contents.packages": _of("package in the image", "packages in the image"),
    "contents.packages[].isSpdx": _is(
        "the package's licence is an SPDX expression", "the package's licence is no SPDX expression"
    ),
    "contents.packages[].licence": _is(
        "the package says its licence", "the package says no licence", "the package's licence"
    ),
    "contents.packages[].kind": FactName("the package's kind"),
    "contents.packages[].choices": _of(
        "choice of licences", "choices of licences", name="the choices of licences"
    ),
    "contents.packages[].choices[]": _of("licence", "licences of the choice"),
    "contents.packages[].choices[][]": FactName("the licence"),
    "advisories.snapshot": _is(
        "it was looked up what is known to be vulnerable",
        "it was not looked up what is known to be vulnerable",
        "the snapshot of the advisories",
    ),
    "advisories.ageDays": FactName("the age of the advisories in days"),
    "advisories.found": _of(
        "advisory about a package in the image", "advisories about packages in the image"
    ),
    "advisories.found[].severity": FactName("the advisory's severity"),
    "advisories.found[].fixedIn": _of(
        "version that mends it",
        "versions that mend it",
        there="a later version of the package mends it",
        none="no later version of the package mends it",
    ),
    "advisories.found[].isHostile": _is(
        "the package is known to be hostile", "the package is not known to be hostile"
    ),
    "approvals.people": FactName("the number of people who approved it"),
    "approvals.roles": _of(
        "role of those who approved it",
        "roles of those who approved it",
        name="the roles of those who approved it",
    ),
    "assessments": _of("assessment", "assessments"),
    "assessments[].questionnaire": FactName("the assessment's questionnaire"),
    "assessments[].level": FactName("the level that the assessment amounts to"),
    "assessments[].ageDays": FactName("the assessment's age in days"),
    "assessments[].missing": _of(
        "measure that its level asks for and that is missing",
        "measures that its level asks for and that are missing",
    ),
    "assessments[].stale": _of(
        "reason why the assessment is out of date", "reasons why the assessment is out of date"
    ),
    "assessments[].stale[]": FactName("the reason"),
    "reports.training": _of("reported training run", "reported training runs"),
    "reports.training[].inputs": _of("dataset that the run read", "datasets that the run read"),
    "reports.training[].unverified": _of(
        "dataset that the run read and that passed no verification",
        "datasets that the run read and that passed no verification",
    ),
    "reports.incidents": _of("reported incident", "reported incidents"),
    "reports.incidents[].status": FactName("the incident's status"),
    "reports.incidents[].severity": FactName("the incident's severity"),
    "platform.dockerfiles": _is(
        "this platform builds Dockerfiles of projects", "this platform builds no Dockerfiles of projects"
    ),
    "platform.bases": _of(
        "base that this platform lists",
        "bases that this platform lists",
        name="the bases that this platform lists",
    ),
    "monitoring.live": _is("the model serves", "the model does not serve"),
    "monitoring.silentHours": FactName("the number of hours since something was observed"),
    "monitoring.metrics": _of("watched metric", "watched metrics", name="the watched metrics"),
    "monitoring.conditions": _of("condition while it serves", "conditions while it serves"),
    "monitoring.conditions[].action": FactName("what the condition does when it is broken"),
    "monitoring.conditions[].value": FactName("the condition's observed value"),
    "monitoring.conditions[].limit": FactName("the condition's limit"),
}
