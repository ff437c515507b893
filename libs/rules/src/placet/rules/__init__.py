"""Policies, their evaluation, the facts they see and the set that ships with the platform."""

from placet.rules.engine import Engine, Verdict, excepted
from placet.rules.facts import Approval, gather_certify_facts, gather_readable_facts, gather_submit_facts
from placet.rules.inputs import digest_of, inputs_digest
from placet.rules.policy import (
    Awaits,
    OnFail,
    Policy,
    Result,
    Rule,
    Stage,
    load_shipped,
    offered_files,
    policy_schema,
    read_policy,
    shipped_files,
)
from placet.rules.policy_set import Edition, PolicySet, Publication, Published
from placet.rules.publication import Version, in_force, standing, version_of
from placet.rules.recorded import facts_digest
from placet.rules.testing import PolicyTestResult, compile_problems, load_policy, run_policy_tests

__all__ = [
    "Approval",
    "Awaits",
    "Edition",
    "Engine",
    "OnFail",
    "Policy",
    "PolicySet",
    "PolicyTestResult",
    "Publication",
    "Published",
    "Result",
    "Rule",
    "Stage",
    "Verdict",
    "Version",
    "compile_problems",
    "digest_of",
    "excepted",
    "facts_digest",
    "gather_certify_facts",
    "gather_readable_facts",
    "gather_submit_facts",
    "in_force",
    "inputs_digest",
    "load_policy",
    "load_shipped",
    "offered_files",
    "policy_schema",
    "read_policy",
    "run_policy_tests",
    "shipped_files",
    "standing",
    "version_of",
]
