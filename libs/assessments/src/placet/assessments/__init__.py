"""Impact assessments: questionnaires, what answers to them amount to, and the import of others' questionnaires."""

from placet.assessments.questionnaire import (
    Questionnaire,
    load_shipped,
    questionnaire_schema,
    read_questionnaire,
)
from placet.assessments.scores import Answers, Score, asked_questions, problems, score, unanswered
from placet.assessments.surveyjs import import_survey

__all__ = [
    "Answers",
    "Questionnaire",
    "Score",
    "asked_questions",
    "import_survey",
    "load_shipped",
    "problems",
    "questionnaire_schema",
    "read_questionnaire",
    "score",
    "unanswered",
]
