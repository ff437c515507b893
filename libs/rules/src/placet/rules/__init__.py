"""Policies, their evaluation, the facts they see and the set that ships with the platform."""

from placet.rules.engine import Engine, Verdict, excepted
from placet.rules.facts import gather_certify_facts, gather_readable_facts, gather_submit_facts
from placet.rules.policy import (
    OnFail,
    Policy,
    Result,
    Rule,
    Stage,
    load_shipped,
    policy_schema,
    read_policy,
)
from placet.rules.testing import PolicyTestResult, compile_problems, load_policy, run_policy_tests

__all__ = [
    "Engine",
    "OnFail",
    "Policy",
    "PolicyTestResult",
    "Result",
    "Rule",
    "Stage",
    "Verdict",
    "compile_problems",
    "excepted",
    "gather_certify_facts",
    "gather_readable_facts",
    "gather_submit_facts",
    "load_policy",
    "load_shipped",
    "policy_schema",
    "read_policy",
    "run_policy_tests",
]
