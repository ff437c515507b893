"""Regular expressions in the engine's way of writing.

The engine's never look back, and take time that grows with the text alone: so do these, by following all ways at once.
What differs between characters of other scripts is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from placet.verifier.failures import Unsupported
from placet.verifier.values import spend


class State:
    """`on` says which character leads to `to`; without it nothing has to be read, and `at` says where that is."""

    __slots__ = ("at", "on", "to")

    def __init__(self) -> None:
        self.on: Callable[[str], bool] | None = None
        self.at: Callable[[str, int], bool] | None = None
        self.to: list[State] = []


_MAX_STATES = 20_000
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}


class Pattern:
    """A regular expression in the engine's way of writing. Raises Unsupported for what is not read here."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._states = 0
        self._depth = 0
        self._folds = False
        self._dot_is_all = False
        found = re.match(r"\(\?([is]+)\)", text)
        if found is not None:
            self._folds, self._dot_is_all = "i" in found[1], "s" in found[1]
            self._at = found.end()
        self._end = self._state()
        self._start = self._choice(self._end)
        if self._at != len(text):
            raise Unsupported("a bracket that nothing opens, in a pattern")
        spend(self._states)

    def is_in(self, text: str) -> bool:
        current: dict[State, None] = {}
        for at in range(len(text) + 1):
            self._enter(self._start, text, at, current)
            spend(len(current))
            if self._end in current:
                return True
            following: dict[State, None] = {}
            if at < len(text):
                for state in current:
                    if state.on is not None and state.on(text[at]):
                        self._enter(state.to[0], text, at + 1, following)
            current = following
        return False

    @staticmethod
    def _enter(state: State, text: str, at: int, into: dict[State, None]) -> None:
        waiting = [state]
        while waiting:
            one = waiting.pop()
            if one in into or (one.at is not None and not one.at(text, at)):
                continue
            into[one] = None
            if one.on is None:
                waiting += one.to

    def _state(self) -> State:
        self._states += 1
        if self._states > _MAX_STATES:
            raise Unsupported("a pattern that is too large")
        return State()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self, then: State) -> State:
        self._depth += 1
        if self._depth > 50:
            raise Unsupported("a pattern that nests too deep")
        start = self._state()
        start.to.append(self._sequence(then))
        while self._peek() == "|":
            self._at += 1
            start.to.append(self._sequence(then))
        self._depth -= 1
        return start

    def _sequence(self, then: State) -> State:
        pieces: list[Callable[[State], State]] = []
        while self._peek() not in ("", "|", ")"):
            pieces.append(self._repeated())
        for piece in reversed(pieces):
            then = piece(then)
        return then

    def _repeated(self) -> Callable[[State], State]:
        piece = self._atom()
        found = re.compile(r"\*|\+|\?|\{(\d{1,4})(?:(,)(\d{1,4})?)?\}", re.A).match(self._text, self._at)
        if found is None:
            if self._peek() == "{":
                raise Unsupported("a pattern with a brace")
            return piece
        self._at = found.end()
        if self._peek() == "?":  # which of the ways it takes makes no difference to whether there is one
            self._at += 1
        if self._peek() in ("*", "+", "?", "{"):
            raise Unsupported("a pattern that repeats a repetition")
        least = {"*": 0, "?": 0, "+": 1}.get(found[0], int(found[1] or 0))
        most = {"*": None, "+": None, "?": 1}.get(found[0], least)
        if found[2]:
            most = int(found[3]) if found[3] else None
        if most is not None and most < least:
            raise Unsupported("a pattern that repeats less than it must")

        def repeated(then: State) -> State:
            if most is None:
                loop = self._state()
                loop.to = [piece(loop), then]
                then = loop
            else:
                end = then
                for _ in range(most - least):
                    optional = self._state()
                    optional.to = [piece(then), end]
                    then = optional
            for _ in range(least):
                then = piece(then)
            return then

        return repeated

    def _atom(self) -> Callable[[State], State]:
        character = self._peek()
        self._at += 1
        if character == "(":
            return self._group()
        if character == "[":
            return self._reading(self._class())
        if character == ".":
            is_all = self._dot_is_all
            return self._reading(lambda one: is_all or one != "\n")
        if character == "^":
            return self._standing(lambda text, at: at == 0)
        if character == "$":
            return self._standing(lambda text, at: at == len(text))
        if character == "\\":
            return self._escape()
        if character in ("*", "+", "?", "{", ")"):
            raise Unsupported(f"a pattern with {character!r} where nothing is repeated")
        return self._reading(self._same(character))

    def _group(self) -> Callable[[State], State]:
        found = re.compile(r"\?(?:([is]*):|P?<[A-Za-z_][A-Za-z0-9_]*>)", re.A).match(self._text, self._at)
        if self._peek() == "?" and found is None:
            raise Unsupported("a pattern with flags, or that looks ahead")
        before = self._folds, self._dot_is_all
        if found is not None:
            self._at = found.end()
            self._folds = self._folds or "i" in (found[1] or "")
            self._dot_is_all = self._dot_is_all or "s" in (found[1] or "")
        start, flags = self._at, (self._folds, self._dot_is_all)
        self._choice(self._state())  # to see where it ends; it is read again for each place that it leads to
        end = self._at
        if self._peek() != ")":
            raise Unsupported("a bracket that nothing closes, in a pattern")
        self._at += 1
        self._folds, self._dot_is_all = before

        def made(then: State) -> State:
            here, kept = self._at, (self._folds, self._dot_is_all)
            self._at, (self._folds, self._dot_is_all) = start, flags
            found = self._choice(then)
            if self._at != end:
                raise Unsupported("a pattern that is read twice in two ways")
            self._at, (self._folds, self._dot_is_all) = here, kept
            return found

        return made

    def _reading(self, on: Callable[[str], bool]) -> Callable[[State], State]:
        def made(then: State) -> State:
            state = self._state()
            state.on, state.to = on, [then]
            return state

        return made

    def _standing(self, at: Callable[[str, int], bool]) -> Callable[[State], State]:
        def made(then: State) -> State:
            state = self._state()
            state.at, state.to = at, [then]
            return state

        return made

    def _same(self, character: str) -> Callable[[str], bool]:
        if not self._folds:
            return lambda one: one == character
        if not character.isascii():
            raise Unsupported("a pattern for large and small letters of another script")
        alike = _alike(character)
        return lambda one: one in alike

    _CLASSES = "dDwWsS"

    def _escape(self) -> Callable[[State], State]:
        character = self._peek()
        if character and character in self._CLASSES:
            self._at += 1
            return self._reading(_class_of(character))
        if character and character in "bB":
            self._at += 1
            if self._peek() == "{":
                raise Unsupported("a pattern with a boundary of another kind")
            is_in = character == "b"
            return self._standing(lambda text, at: _is_boundary(text, at) is is_in)
        if character == "A":
            self._at += 1
            return self._standing(lambda text, at: at == 0)
        if character == "z":
            self._at += 1
            return self._standing(lambda text, at: at == len(text))
        return self._reading(self._same(self._escaped_character()))

    def _escaped_character(self) -> str:
        character = self._peek()
        self._at += 1
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character == "x" and re.match(r"[0-9a-fA-F]{2}", self._text[self._at : self._at + 2]):
            self._at += 2
            return chr(int(self._text[self._at - 2 : self._at], 16))
        if not character or not character.isascii() or character.isalnum() or character in "<>":
            raise Unsupported(f"a pattern with \\{character}")
        return character

    def _class(self) -> Callable[[str], bool]:
        is_negated = self._peek() == "^"
        self._at += is_negated
        ranges: list[tuple[str, str]] = []
        classes: list[Callable[[str], bool]] = []
        is_first = True
        while self._peek() != "]" or is_first:
            if self._text[self._at : self._at + 2] in ("&&", "--", "~~") or self._peek() in ("[", ""):
                raise Unsupported("a pattern with a set in a set")
            is_first = False
            if self._peek() == "\\" and self._text[self._at + 1 : self._at + 2] in [*self._CLASSES]:
                classes.append(_class_of(self._text[self._at + 1]))
                self._at += 2
                continue
            first = last = self._class_character()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                if self._peek() in ("[", "-") or self._text[self._at : self._at + 2] in (
                    *(f"\\{each}" for each in self._CLASSES),
                ):
                    raise Unsupported("a pattern with a range to a set")
                last = self._class_character()
            if last < first:
                raise Unsupported("a pattern with a range that runs backwards")
            ranges.append((first, last))
        self._at += 1
        if self._folds and not all(each.isascii() for pair in ranges for each in pair):
            raise Unsupported("a pattern for large and small letters of another script")
        folds = self._folds

        def on(one: str) -> bool:
            alike = _alike(one) if folds else one
            is_in = any(first <= each <= last for each in alike for first, last in ranges) or any(
                each(one) for each in classes
            )
            return is_in is not is_negated

        return on

    def _class_character(self) -> str:
        character = self._peek()
        self._at += 1
        return self._escaped_character() if character == "\\" else character


def _alike(character: str) -> str:
    """As the engine takes letters for the same, large or small. Two beyond ASCII fold into it."""
    if character in "kK\u212a":
        return "kK\u212a"
    if character in "sS\u017f":
        return "sS\u017f"
    return character.lower() + character.upper() if character.isascii() else character


def _is_word(character: str) -> bool:
    if not character.isascii():
        raise Unsupported("whether a character of another script is one of a word")
    return character.isalnum() or character == "_"


def _class_of(letter: str) -> Callable[[str], bool]:
    is_in = {"d": str.isdigit, "w": _is_word, "s": str.isspace}[letter.lower()]

    def on(one: str) -> bool:
        if not one.isascii() or one in "\x1c\x1d\x1e\x1f":
            raise Unsupported("of which kind a character of another script is")
        return bool(is_in(one)) is letter.islower()

    return on


def _is_boundary(text: str, at: int) -> bool:
    before = at > 0 and _is_word(text[at - 1])
    after = at < len(text) and _is_word(text[at])
    return before is not after
