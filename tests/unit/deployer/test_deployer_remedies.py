"""Each cause that is known has its own next step."""

from __future__ import annotations

import pytest
from placet.deployer.remedies import remedy

ANSWERED = "the sample request was answered"


@pytest.mark.parametrize(
    ("why", "written", "said"),
    [
        (
            f"{ANSWERED} 422: the model refuses these inputs: Specifying the columns using strings is only supported "
            "for dataframes.",
            "",
            "add pandas, pinned",
        ),
        (f"{ANSWERED} 422: row 0, age: expected a number, got true", "", "correct `request` in the sample"),
        (f"{ANSWERED} 400: the body is not JSON", "", "correct `request` in the sample"),
        (
            f"{ANSWERED} 500: the model failed with KeyError",
            "KeyError: 'age'",
            "see `placet logs churn`; then",
        ),
        (
            "churn did not start: it ended with status 1",
            "import a\nModuleNotFoundError: No module named 'lightgbm'",
            "add the package that lightgbm comes from",
        ),
        ("churn was not ready within 60 s", "", "see `placet logs churn`; then deploy again"),
    ],
)
def test_what_is_known_of_a_failure_is_what_to_do_next(why: str, written: str, said: str) -> None:
    assert remedy(why, written, "churn").startswith(said)
