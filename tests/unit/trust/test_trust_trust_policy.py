"""Trust policies as C2SP's tlog-policy has them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import Refused, Unreadable
from placet.trust import SigningKey, TrustPolicy, checkpoints
from placet.trust.checkpoints import Checkpoint
from placet.trust.merkle import leaf_hash
from placet.trust.notes import COSIGNS, SIGNS, Note, NoteKey

LOG, OTHER_LOG = SigningKey.generate(), SigningKey.generate()
WITNESSES = {name: SigningKey.generate() for name in ("X1", "X2", "X3", "Y1", "Y2", "Y3")}
ORIGIN = "placet.example/audit"
AT = datetime(2026, 11, 27, 12, 0, 5, tzinfo=UTC)
CHECKPOINT = Checkpoint(origin=ORIGIN, size=3, root=leaf_hash(b"x"))


def log_key(key: SigningKey = LOG, name: str = ORIGIN) -> str:
    return NoteKey(name=name, kind=SIGNS, key=key.public).vkey


def key_of(name: str) -> NoteKey:
    return NoteKey(name=f"{name.lower()}.example/w", kind=COSIGNS, key=WITNESSES[name].public)


def witness(name: str) -> str:
    return f"witness {name} {key_of(name).vkey}"


# The example of the specification.
EXAMPLE = "\n".join(
    [
        f"log {log_key()}",
        "",
        *(witness(name) for name in ("X1", "X2", "X3")),
        "group X-witnesses 2 X1 X2 X3",
        "",
        *(witness(name) for name in ("Y1", "Y2", "Y3")),
        "group Y-witnesses any Y1 Y2 Y3",
        "",
        "group X-and-Y all X-witnesses Y-witnesses",
        "quorum X-and-Y",
        "",
    ]
)


def policy(*lines: str) -> TrustPolicy:
    return TrustPolicy.from_bytes("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))


def cosigned(*names: str, by: SigningKey = LOG) -> Note:
    cosignatures = [
        checkpoints.cosign(CHECKPOINT.text, name=key_of(name).name, key=WITNESSES[name], at=AT)
        for name in names
    ]
    return checkpoints.sign(CHECKPOINT, by).with_signatures(cosignatures)


@pytest.mark.parametrize(
    ("cosigners", "is_enough"),
    [
        ({"X1", "X3", "Y2"}, True),
        (set(WITNESSES), True),
        ({"X1", "X2", "X3"}, False),
        ({"X1", "Y1", "Y2", "Y3"}, False),
        ({"X-witnesses", "Y-witnesses"}, False),
        ({"X-and-Y"}, False),
        (set(), False),
    ],
)
def test_the_example_of_the_specification_asks_for_two_and_one(cosigners: set[str], is_enough: bool) -> None:
    assert TrustPolicy.from_bytes(EXAMPLE.encode()).is_satisfied_by(cosigners) is is_enough


@given(st.sets(st.sampled_from(sorted(WITNESSES))))
def test_a_note_is_believed_exactly_if_its_cosigners_are_enough(names: set[str]) -> None:
    read = TrustPolicy.from_bytes(EXAMPLE.encode())
    if read.is_satisfied_by(names):
        checkpoint, seen = read.verify(cosigned(*names))
        assert checkpoint == CHECKPOINT
        assert {each.by for each in seen} == {key_of(name) for name in names}
        assert {each.at for each in seen} == {AT}
    else:
        with pytest.raises(Refused, match="the quorum asks for"):
            read.verify(cosigned(*names))


def test_what_is_refused_says_who_saw_it_and_what_is_asked() -> None:
    with pytest.raises(Refused) as refused:
        TrustPolicy.from_bytes(EXAMPLE.encode()).verify(cosigned("X1", "Y3"))
    assert (
        f"the checkpoint of {ORIGIN} at 3 is cosigned by X1, Y3, and the quorum asks for "
        "2 of (2 of (X1, X2, X3), 1 of (Y1, Y2, Y3))" in refused.value.detail
    )
    with pytest.raises(Refused, match="cosigned by no witness that is known, and the quorum asks for X1"):
        policy(f"log {log_key()}", witness("X1"), "quorum X1").verify(cosigned("X2"))


def test_a_log_that_is_not_listed_is_refused_however_many_saw_it() -> None:
    with pytest.raises(Refused, match="no key of that log that is known"):
        policy(f"log {log_key(OTHER_LOG)}", witness("X1"), "quorum X1").verify(cosigned("X1"))
    with pytest.raises(Refused, match="no key of that log that is known"):
        policy("quorum none").verify(cosigned())


def test_who_cosigned_twice_is_one_witness() -> None:
    later = AT.replace(hour=13)
    again = checkpoints.cosign(CHECKPOINT.text, name=key_of("X1").name, key=WITNESSES["X1"], at=later)
    with pytest.raises(Refused, match="cosigned by X1, and"):
        policy(
            f"log {log_key()}", witness("X1"), witness("X2"), "group both all X1 X2", "quorum both"
        ).verify(cosigned("X1").with_signatures([again]))


@pytest.mark.parametrize("is_first", [True, False])
def test_a_log_is_not_its_own_witness(is_first: bool) -> None:
    itself = NoteKey(name="w.example/w", kind=COSIGNS, key=LOG.public)
    lines = [f"log {log_key()}", f"witness X1 {itself.vkey}"]
    with pytest.raises(Unreadable, match=f"the key of the witness X1 is that of the log {ORIGIN}") as told:
        policy(*(lines if is_first else lines[::-1]), "quorum X1")
    assert told.value.fix


def test_a_log_may_change_its_key() -> None:
    read = policy(f"log {log_key()}", f"log {log_key(OTHER_LOG)} https://log.example", "quorum none")
    assert [each.url for each in read.logs] == [None, "https://log.example"]
    for key in (LOG, OTHER_LOG):
        assert read.verify(cosigned(by=key)) == (CHECKPOINT, ())


def test_blanks_comments_and_other_bytes_are_allowed() -> None:
    kelvin, no_text = "\N{KELVIN SIGN}", "\udcff"
    read = policy(
        "  # a comment, \N{SNOWMAN}",
        "\t ",
        f"\twitness  K\t{key_of('X1').vkey}   https://w.example/ ",
        f"witness {kelvin} {key_of('X2').vkey}",
        f"witness {no_text} {key_of('X3').vkey}",
        f"group both all {kelvin} {no_text}",
        "quorum both",
    )
    assert [each.name for each in read.witnesses] == ["K", kelvin, no_text]
    assert read.witnesses[0].url == "https://w.example/"
    assert not read.is_satisfied_by({"K", no_text})
    assert read.is_satisfied_by({kelvin, no_text})


X1, X2 = witness("X1"), witness("X2")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "names no quorum"),
        (["logs a"], "line 1 of the trust policy: logs begins no line"),
        (["quorum X1"], "line 1 .* called X1"),
        (["quorum none", "quorum none"], "line 2 .* none already"),
        (["quorum"], "one name"),
        (["quorum a b"], "one name"),
        (["log"], "a key and perhaps"),
        ([f"log {log_key()} u v"], "a key and perhaps"),
        (["log nonsense"], "line 1"),
        ([f"log {key_of('X1').vkey}"], "of type 4, and a log has one of type 1"),
        ([f"witness a {log_key()}"], "of type 1, and a witness has one of type 4"),
        (["witness a"], "a name, a key"),
        (
            [f"log {log_key()}", f"log {log_key(name='other')}"],
            "line 2 .* that of placet.example/audit already",
        ),
        ([X1, X1.replace("X1", "other", 1)], "line 2 .* already"),
        ([X1, X2.replace("X2", "X1", 1)], "line 2 .* X1 is defined already"),
        ([X1.replace("X1", "none", 1)], "asks for nobody"),
        ([X1, "group X1 any X1"], "X1 is defined already"),
        ([X1, "group none any X1"], "asks for nobody"),
        ([X1, "group g any"], "a name, a number"),
        ([X1, "group g any none"], "called none"),
        (["group g any X1", X1], "line 1 .* called X1"),
        (["group g any g"], "called g"),
        ([X1, "group g all X1 X1"], "X1 is a member already"),
        ([X1, "group g any X1", "group h any X1"], "line 3 .* X1 is a member already"),
        *(
            ([X1, f"group g {many} X1"], f"{many} of 1 is no threshold")
            for many in ("0", "2", "01", "-1", "some")
        ),
        (["quorum none\r"], "control character"),
        (["#\x7f"], "control character"),
        ([f"log {log_key()}", f"log \udcff{log_key(OTHER_LOG)}"], "line 2 .* cannot be the name of a key"),
    ],
)
def test_what_is_no_policy_is_told_by_its_line(lines: list[str], said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        policy(*lines)


def test_a_policy_has_bounds() -> None:
    with pytest.raises(Unreadable, match="over the limit"):
        TrustPolicy.from_bytes(b"#" * (256 * 1024 + 1))
    keys = [NoteKey(name=f"w{at}", kind=COSIGNS, key=SigningKey.generate().public) for at in range(257)]
    lines = [f"witness w{at} {key.vkey}" for at, key in enumerate(keys)]
    assert len(policy(*lines[:256], "quorum w255").witnesses) == 256
    with pytest.raises(Unreadable, match=r"line 257 .* more than 256"):
        policy(*lines, "quorum none")
    groups = [f"group g{at} any {'w0' if at == 0 else f'g{at - 1}'}" for at in range(257)]
    assert policy(lines[0], *groups[:256], "quorum g255").is_satisfied_by(["w0"])
    with pytest.raises(Unreadable, match="more than 256 groups"):
        policy(lines[0], *groups, "quorum none")


@given(st.binary(max_size=200))
def test_whatever_is_read_is_a_policy_or_unreadable(data: bytes) -> None:
    told = ""
    try:
        TrustPolicy.from_bytes(EXAMPLE.encode() + data)
    except Unreadable as error:
        told = str(error)
    told.encode()  # can be printed, whatever bytes are in it


def test_a_policy_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "policy"
    with pytest.raises(Refused, match="cannot be read"):
        TrustPolicy.load(file)
    file.write_text(EXAMPLE)
    assert TrustPolicy.load(file) == TrustPolicy.from_bytes(EXAMPLE.encode())
