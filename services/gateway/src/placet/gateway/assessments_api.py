"""The gateway's REST for impact assessments: questionnaires, answers to them, and what those amount to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from placet.assessments import Form, Reading
from placet.assessments.questionnaire import MAX_QUESTIONNAIRE_BYTES
from placet.assessments.scores import MAX_TEXT
from placet.errors import Conflict, Refused, TooLarge, Unknown, Unreadable
from placet.events import Clock
from placet.events.described import all_of, answers, errors, file
from placet.events.known_fields import KnownFields, known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.api import DIGEST, NAME, After, BoundedBody, Id, Limit
from placet.gateway.assessed import AssessmentQueries
from placet.gateway.assessing import ANSWERERS, IMPORTERS, Answering, Assessing
from placet.gateway.domain import must_have
from placet.gateway.exceptions_api import Project
from placet.projects.full_disk import told_when_full

OF_PROJECT = "/models/{project}/assessments"
ID = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
WORDS = r"^\P{C}+$"
MAX_ANSWERS_BODY = 1024 * 1024
MAX_ANSWERS = 2000

_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}

Answer = (
    Annotated[str, Field(max_length=MAX_TEXT)]
    | Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(max_length=MAX_ANSWERS)]
)


class LongBody(BoundedBody):
    """People write pages where they are asked for prose."""

    most = MAX_ANSWERS_BODY


class AssessmentBody(KnownFields):
    questionnaire: str = Field(
        max_length=200, pattern=NAME, description="its digest, or its id for its newest version"
    )
    answers: dict[str, Answer] = Field(max_length=MAX_ANSWERS, description="by the question's id")
    mitigations: list[str] = Field(
        default=[], max_length=200, description="ids of the mitigations that are in place"
    )
    source: str | None = Field(
        default=None,
        pattern=DIGEST,
        description="what it is about; without, what was deployed or built last",
    )


def assessments_router(
    *, access: Access, assessing: Assessing, made: AssessmentQueries, clock: Clock
) -> APIRouter:
    api = APIRouter(
        prefix="/v1",
        tags=["assessments"],
        route_class=LongBody,
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    @api.post(
        "/questionnaires",
        status_code=201,
        openapi_extra=_FILE,
        responses=answers(shapes.WholeQuestionnaire, status=201, headers={"Location": "the questionnaire"})
        | errors(Conflict, Refused, TooLarge),
    )
    async def post_questionnaire(
        request: Request,
        who: Caller = caller,
        form: Annotated[Form, Query(description="surveyjs: scored as Canada's AIA is")] = "placet",
        id: Annotated[str | None, Query(max_length=100, pattern=ID, description="with surveyjs")] = None,
        version: Annotated[
            str | None, Query(max_length=40, pattern=NAME, description="with surveyjs")
        ] = None,
        owner: Annotated[
            str | None, Query(max_length=200, pattern=WORDS, description="compliance, unless told")
        ] = None,
        title: Annotated[str | None, Query(max_length=200, pattern=WORDS)] = None,
    ) -> JSONResponse:
        """Import a questionnaire: the body is its file, of ours or of SurveyJS, which does not say what it is called.

        From here on it is the newest of its id. The same bytes again change nothing.
        """
        must_have(who.roles, IMPORTERS, "importing a questionnaire")
        if form == "surveyjs":
            if id is None or version is None:
                raise Unreadable(
                    "a file of SurveyJS does not say what it is called", fix="give `id` and `version`"
                )
            reading = Reading(form=form, id=id, version=version, owner=owner or "compliance", title=title)
        else:
            reading = Reading()
        file = await _body(request)
        with told_when_full():
            told = await assessing.import_questionnaire(file, reading, who.person)
        return JSONResponse(told, 201, headers={"Location": f"/v1/questionnaires/{told['digest']}"})

    @api.get("/questionnaires", responses=answers(shapes.Questionnaires), response_model=None)
    async def get_questionnaires(
        who: Caller = caller, after: After = None, limit: Limit = 100
    ) -> dict[str, Any]:
        """Every version of every questionnaire, those that ship included; `next` is what to give as `after`.

        `state` is newest or superseded; what was answered to one that is superseded is stale.
        """
        page = await made.questionnaires(after=after, limit=limit)
        return {"questionnaires": page, "next": page[-1]["digest"] if len(page) == limit else None}

    @api.get(
        "/questionnaires/{id}",
        responses=answers(shapes.WholeQuestionnaire) | errors(Unknown),
        response_model=None,
    )
    async def get_questionnaire(id: Id, who: Caller = caller) -> dict[str, Any]:
        """One by its digest, or the newest of an id, with all that it asks in `content`."""
        return await made.told(id)

    @api.get(
        "/questionnaires/{digest}/file",
        response_class=Response,
        responses=all_of(file("application/yaml"), file("application/json")) | errors(Unknown),
    )
    async def get_questionnaire_file(digest: Id, who: Caller = caller) -> Response:
        """The file with this digest, to the byte."""
        known = await made.known(digest)
        kind = "application/json" if known.form == "surveyjs" else "application/yaml"
        return Response(known.file, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})

    @api.post(
        OF_PROJECT,
        status_code=202,
        responses=answers(shapes.Assessment, status=202, headers={"Location": "the assessment"})
        | errors(Unknown, Refused),
    )
    async def post_assessment(project: Project, body: AssessmentBody, who: Caller = caller) -> JSONResponse:
        """Answer a questionnaire about a project, as it is in one source. Everything that is unknown, wrong or missing
        is told at once.

        Its `state` goes from answered to scored once the certifier has scored and signed it.
        """
        must_have(who.roles, ANSWERERS, "answering a questionnaire")
        answering = Answering(
            project=project,
            questionnaire=body.questionnaire,
            answers=body.answers,
            mitigations=body.mitigations,
            source=body.source,
        )
        with told_when_full():
            id = await assessing.answer(answering, who.person)
        told = await made.assessment(project, id, now=clock.now())
        return JSONResponse(told, 202, headers={"Location": f"/v1/models/{project}/assessments/{id}"})

    @api.get(OF_PROJECT, responses=answers(shapes.Assessments), response_model=None)
    async def get_assessments(
        project: Project, who: Caller = caller, after: After = None, limit: Limit = 100
    ) -> dict[str, Any]:
        """Newest first, with what they amount to, and why they say nothing any more of what was deployed or built last:
        `stale` names age, questionnaire, purpose, data and source."""
        page = await made.assessments(project, now=clock.now(), after=after, limit=limit)
        return {"assessments": page, "next": page[-1]["assessment"] if len(page) == limit else None}

    @api.get(
        f"{OF_PROJECT}/{{id}}", responses=answers(shapes.Assessment) | errors(Unknown), response_model=None
    )
    async def get_assessment(project: Project, id: Id, who: Caller = caller) -> dict[str, Any]:
        """One of them, without the words of who answered."""
        return await made.assessment(project, id, now=clock.now())

    @api.get(
        f"{OF_PROJECT}/{{id}}/answers",
        responses=answers(shapes.Answers) | errors(Unknown),
        response_model=None,
    )
    async def get_answers(project: Project, id: Id, who: Caller = caller) -> dict[str, Any]:
        """What was answered, for who did, approvers, compliance and auditors; 404 once it was taken away."""
        given = await assessing.words(project, id, who.person, who.roles)
        return {"answers": given.answers, "mitigations": list(given.mitigations)}

    return api


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_QUESTIONNAIRE_BYTES:
            raise TooLarge(
                f"a questionnaire is at most {MAX_QUESTIONNAIRE_BYTES} bytes", fix="make two of it"
            )
    return bytes(body)
