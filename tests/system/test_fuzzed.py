"""Whatever the REST API is sent, it answers as its description says, and never with a bug of its own.

schemathesis makes the requests from `/openapi.json`: those that it allows, those that it does not, at the edges of
both, and one behind the other as answers lead on. All of its checks look at each answer.

`PLACET_FUZZ_EXAMPLES` is how many requests a call is tried with, `PLACET_FUZZ_SEED` which ones: the same seed, the same
requests. Without the first it is few, and the seed is always the same; with it the seed is another each time
(`make fuzz`). A failure names its seed.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.platforms import ROOT, Platform, embedded

FEW = 6
FIXED_SEED = 20
UNLIMITED = {
    "PLACET_READS_PER_SECOND": "0",
    "PLACET_WRITES_PER_SECOND": "0",
    "PLACET_FAILURES_PER_SECOND": "0",
}
"""All requests come from one person at one address."""

# What is left out, by its name and with the reason. Streams of events are read up to their first event.
CONFIGURATION = """
request-timeout = 60
max-stream-events = 1
continue-on-failure = true
warnings = false
hooks = "tests.system.fuzzed_bodies"

[auth.openapi.token]
bearer = "{token}"

[generation]
database = "none"
no-shrink = true

[phases.examples]
enabled = false # the description has none

[checks.positive_data_acceptance]
# 413 and 422: what is refused there no schema can say, such as a digest that is not that of the bytes
expected-statuses = ["2xx", 401, 403, 404, 409, 413, 422]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 422]

[[operations]]
include-path = ["/v1/events", "/v1/operations/{{id}}/events"] # streams: where nothing comes they are left
request-timeout = 3

[[operations]]
# 503 also: each person has one archive at a time, and its turn ends a moment after whoever asked has all of it
include-path = "/v1/audit/bundle"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 413, 422, 503]
checks.negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 413, 422, 503]

[[operations]]
# 400 also for what is well written: an `after` is the `next` of a page that there was
include-path = ["/v1/advisories", "/v1/policies", "/v1/questionnaires", "/v1/audit/approvals",
    "/v1/audit/exceptions", "/v1/audit/expiring"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 422]

[[operations]]
# 400 also for parameters of which each is well written, and not all together (the schema has one for each): what a
# proof is of, a state of a time or of a position, a range with its ends changed; and for formats, which images bring
include-path = ["/v1/audit/proof", "/v1/audit/state", "/v1/audit/projects",
    "/v1/models/{{project}}/placement", "/v1/images"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 422]

[[operations]]
# 400 also for a whole number that is written as 50.0, which no JSON Schema tells from 50; and for a name with what is
# not seen, which ECMAScript's patterns know and the ones that text is made from do not
include-path = ["/v1/quotas/teams/{{team}}", "/v1/quotas/projects/{{project}}", "/v1/tokens", "/v1/commands",
    "/v1/webhooks", "/v1/webhooks/{{id}}/enable", "/v1/teams/{{team}}", "/v1/teams/{{team}}/members",
    "/v1/models/{{project}}/members"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 422]

[[operations]]
# 400 also for a form with files and an archive: it has one or the other, and the forms that are made do not mind
include-path = "/v1/sources"
include-method = "POST"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 422]

[[operations]]
# 400 also for a reason of punctuation alone: its description says so in words, since from a pattern that says it, too,
# no text is made in a minute
include-path = ["/v1/models/{{project}}/exceptions", "/v1/models/{{project}}/approvals",
    "/v1/models/{{project}}/hold", "/v1/certificates/{{id}}/revoke", "/v1/certificates/{{id}}/review"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 422]
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with embedded(tmp_path_factory.mktemp("fuzzed"), UNLIMITED) as platform:
        yield platform


@pytest.mark.slow
def test_every_call_answers_as_it_is_described_whatever_it_is_sent(
    platform: Platform, tmp_path: Path
) -> None:
    told = os.environ.get("PLACET_FUZZ_EXAMPLES")
    seed = os.environ.get("PLACET_FUZZ_SEED") or (secrets.randbelow(2**31) if told else FIXED_SEED)
    print(f"PLACET_FUZZ_SEED={seed}")  # noqa: T201 - whoever runs `make fuzz` waits, and may want it again
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.format(token=platform.token))
    arguments = [
        f"{platform.url}/openapi.json",
        "--checks",
        "all",
        "--no-color",
        "--max-examples",
        told or str(FEW),
        "--seed",
        str(seed),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"with seed {seed}:\n{done.stdout}\n{done.stderr}"
