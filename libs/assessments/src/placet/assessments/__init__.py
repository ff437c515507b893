"""Impact assessments: questionnaires, what answers to them amount to, whether that still holds, and the import of
others' questionnaires."""

from placet.assessments.examining import Form, Given, Outcome, Reading, read_apart, scored
from placet.assessments.questionnaire import (
    Questionnaire,
    load_shipped,
    questionnaire_schema,
    read_questionnaire,
    shipped_by_digest,
    shipped_files,
)
from placet.assessments.scores import Answers, Score, asked_questions, problems, score, unanswered
from placet.assessments.staleness import (
    REASONS,
    Assessment,
    Subject,
    age_in_days,
    data_digest,
    declared,
    latest,
    purpose_digest,
    stale,
)
from placet.assessments.surveyjs import import_survey

__all__ = [
    "REASONS",
    "Answers",
    "Assessment",
    "Form",
    "Given",
    "Outcome",
    "Questionnaire",
    "Reading",
    "Score",
    "Subject",
    "age_in_days",
    "asked_questions",
    "data_digest",
    "declared",
    "import_survey",
    "latest",
    "load_shipped",
    "problems",
    "purpose_digest",
    "questionnaire_schema",
    "read_apart",
    "read_questionnaire",
    "score",
    "scored",
    "shipped_by_digest",
    "shipped_files",
    "stale",
    "unanswered",
]
