"""The part of YAML that policies are written in. What is beyond it is not read, rather than read otherwise."""

from __future__ import annotations

import re
from typing import Any

from placet.verifier.failures import Unsupported

_NUMBER = re.compile(r"-?[0-9]{1,18}", re.A)
_FRACTION = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?", re.A)
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_BLANKS = re.compile(" *")
_NO_PLAIN_START = set("-?:,[]{}#&*!|>'\"%@`")
_MAX_DEPTH = 60


_KEY = re.compile(
    r"""(?:(?:"(?:[^"\\\n]|\\[^\n])*"  |  '(?:[^'\n]|'')*')[ ]*
        |  [^\s\-?:,\[\]{}\#&*!|>'"%@`][^\n]*?  |  [\-?:][^\s][^\n]*?)  :(?=[ ]|\n)""",
    re.VERBOSE,
)


class Yaml:
    """Mappings, lists, texts and numbers, in blocks or in brackets. Raises Unsupported for anything else."""

    def __init__(self, data: bytes) -> None:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Unsupported("it is not UTF-8") from error
        if re.search("[\0\r\x85\u2028\u2029\ufeff]", text):
            raise Unsupported("it has line ends or characters that are not read here")
        self._text = text if text.endswith("\n") else text + "\n"
        self._at = 0
        self._depth = 0

    def value(self) -> Any:
        self._skip()
        if self._text.startswith("---\n", self._at):
            self._at += 4
        found = self._block(-1)
        self._skip()
        if self._at < len(self._text):
            raise self._stop("something stands where nothing is expected")
        return found

    def _stop(self, why: str) -> Unsupported:
        return Unsupported(f"line {self._text.count(chr(10), 0, self._at) + 1}: {why}")

    def _column(self) -> int:
        return self._at - (self._text.rfind("\n", 0, self._at) + 1)

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _skip(self) -> None:
        """Blanks, comments and ends of lines."""
        while True:
            start = self._at
            while self._peek() == " ":
                self._at += 1
            if self._peek() == "#" and (self._at == 0 or self._text[self._at - 1] in " \n"):
                self._at = self._text.index("\n", self._at)
            if self._peek() == "\n":
                self._at += 1
            elif self._peek() == "\t":
                raise self._stop("a tab")
            if self._at == start:
                return

    def _rest_is_empty(self) -> bool:
        return bool(
            re.match(
                r" *(?: #[^\n]*|(?<= )#[^\n]*)?\n",
                self._text[self._at : self._text.index("\n", self._at) + 1],
            )
        )

    def _is_entry(self) -> bool:
        return self._peek() == "-" and self._peek(2)[1:] in (" ", "\n")

    def _block(self, above: int, *, or_list_at: int = -2) -> Any:
        """What stands further in than column `above`, or a list at column `or_list_at`; else nothing."""
        self._skip()
        if self._at >= len(self._text):
            return None
        column = self._column()
        if column <= above and not (column == or_list_at and self._is_entry()):
            return None
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._stop("nested too deep")
        try:
            if self._is_entry():
                return self._list(column)
            if self._key_ahead():
                return self._mapping(column)
            return self._inline(above)
        finally:
            self._depth -= 1

    def _list(self, column: int) -> list[Any]:
        found = []
        while self._at < len(self._text) and self._column() == column and self._is_entry():
            self._at += 1
            found.append(self._block(column))
            self._skip()
        return found

    def _mapping(self, column: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._at < len(self._text) and self._column() == column and not self._is_entry():
            if not self._key_ahead():
                raise self._stop("a key is expected")
            key = self._key()
            if key in found:
                raise self._stop(f"{key!r} is there twice")
            found[key] = self._after_key(column)
            self._skip()
        if self._at < len(self._text) and self._column() > column:
            raise self._stop("it stands further in than its neighbours")
        return found

    def _after_key(self, column: int) -> Any:
        if self._rest_is_empty():
            return self._block(column, or_list_at=column)
        while self._peek() == " ":
            self._at += 1
        if self._is_entry() or self._key_ahead():
            raise self._stop("a key or an entry behind a key")
        return self._inline(column)

    def _key_ahead(self) -> bool:
        end = self._text.index("\n", self._at)
        found = _KEY.match(self._text, self._at, end + 1)
        return found is not None and " #" not in found[0] and len(found[0]) < 1000

    def _key(self) -> str:
        if self._peek() in "\"'":
            key = self._quoted()
        else:
            end = self._text.index("\n", self._at)
            found = _KEY.match(self._text, self._at, end + 1)
            plain = found[0][:-1].rstrip(" ") if found else ""
            self._at += len(plain)
            key = plain
            if not isinstance(_plain_value(plain), str):
                raise self._stop(f"the key {plain!r} is not text")
        while self._peek() == " ":
            self._at += 1
        if self._peek() != ":":
            raise self._stop("a colon is expected")
        self._at += 1
        return key

    def _inline(self, above: int) -> Any:
        """What begins on this line: brackets, quotes, a block of text, or plain words."""
        first = self._peek()
        if first in "|>":
            return self._text_block(above)
        if first in "[{":
            found = self._flow()
        elif first in "\"'":
            found = self._quoted()
        else:
            return self._plain(above)
        if not self._rest_is_empty():
            raise self._stop("something stands behind a value")
        self._at = self._text.index("\n", self._at) + 1
        return found

    def _plain(self, above: int) -> Any:
        """Words over one or more lines, each further in than `above`."""
        self._check_plain_start()
        said, blanks = "", 0
        while True:
            end = self._text.index("\n", self._at)
            line = re.split(r"(?:^| )#", self._text[self._at : end], maxsplit=1)
            words, has_comment = line[0].rstrip(" "), len(line) > 1
            if re.search(r":(?: |$)", words):
                raise self._stop("a colon inside plain words")
            if "\t" in words:
                raise self._stop("a tab")
            said += ("\n" * blanks if blanks else " " if said else "") + words
            self._at = end + 1
            follows = re.compile(r"(?:[ ]*\n)*").match(self._text, self._at)
            after = follows.end() if follows else self._at
            blanks = self._text.count("\n", self._at, after)
            indent = len(_BLANKS.match(self._text, after)[0])  # type: ignore[index]
            is_end = after >= len(self._text) or indent <= above
            if is_end or has_comment or self._text[after + indent] == "#":
                if not is_end and not has_comment and self._text[after + indent] != "#":
                    raise self._stop("words go on behind a comment")
                return _plain_value(said)
            self._at = after + indent

    def _check_plain_start(self) -> None:
        first, second = self._peek(), self._peek(2)[1:]
        if first in _NO_PLAIN_START and not (first in "-?:" and second not in (" ", "\n", "")):
            raise self._stop(f"words cannot begin with {first!r}")

    def _quoted(self) -> str:
        quote = self._peek()
        self._at += 1
        parts: list[str] = []
        while True:
            character = self._peek()
            if character == "":
                raise self._stop("a quote has no end")
            self._at += 1
            if character == quote:
                if quote == "'" and self._peek() == "'":
                    parts.append("'")
                    self._at += 1
                    continue
                return "".join(parts)
            if character == "\t":
                raise self._stop("a tab")
            if character in " \n":
                self._at -= 1
                parts.append(self._folded())
            else:
                parts.append(self._escaped() if character == "\\" and quote == '"' else character)

    def _folded(self) -> str:
        """Blanks; where a line ends among them, one, or an end of line for each that is empty."""
        start = self._at
        while self._peek() in (" ", "\n"):
            self._at += 1
        blanks = self._text[start : self._at]
        ends = blanks.count("\n")
        return blanks if ends == 0 else " " if ends == 1 else "\n" * (ends - 1)

    def _escaped(self) -> str:
        character = self._peek()
        self._at += 1
        if character in _ESCAPES:
            return _ESCAPES[character]
        digits = self._peek(_HEX_DIGITS.get(character, 0))
        if character not in _HEX_DIGITS or not re.fullmatch(r"[0-9a-fA-F]{2,8}", digits):
            raise self._stop("an escape that is not known")
        if (
            len(digits) != _HEX_DIGITS[character]
            or int(digits, 16) > 0x10FFFF
            or 0xD800 <= int(digits, 16) < 0xE000
        ):
            raise self._stop("an escape of no character")
        self._at += len(digits)
        return chr(int(digits, 16))

    def _flow(self) -> Any:
        """What stands in brackets, over as many lines as it takes."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._stop("nested too deep")
        opening = self._peek()
        self._at += 1
        found: Any = [] if opening == "[" else {}
        closing = "]" if opening == "[" else "}"
        while True:
            self._skip()
            if self._peek() == closing:
                self._at += 1
                self._depth -= 1
                return found
            value = self._flow_value()
            self._skip()
            if opening == "{":
                if not isinstance(value, str):
                    raise self._stop("a key that is not text")
                if value in found:
                    raise self._stop(f"{value!r} is there twice")
                found[value] = None
                if self._peek() == ":":
                    self._at += 1
                    self._skip()
                    if self._peek() not in (",", "}"):
                        found[value] = self._flow_value()
                        self._skip()
            elif self._peek() == ":":
                raise self._stop("a pair in a list")
            else:
                found.append(value)
            if self._peek() == ",":
                self._at += 1
            elif self._peek() != closing:
                raise self._stop(f"a comma or {closing} is expected")

    def _flow_value(self) -> Any:
        first = self._peek()
        if first in ("[", "{"):
            return self._flow()
        if first in ("'", '"'):
            return self._quoted()
        self._check_plain_start()
        start = self._at
        while True:
            end = re.compile(r"[,\[\]{}\n?\t]|:(?=[ ,\[\]{}\n])| #").search(self._text, self._at)
            if end is None or end[0] in ("\n", "?", "\t", " #"):
                raise self._stop("plain words in brackets go on in another line, or have a question mark")
            self._at = end.start()
            return _plain_value(self._text[start : self._at].rstrip(" "))

    def _text_block(self, above: int) -> str:
        header = re.compile(r"([|>])([-+]?)(?: +#[^\n]*| *)\n").match(self._text, self._at)
        if header is None:
            raise self._stop("a text block with an indentation of its own")
        self._at = header.end()
        lines: list[str] = []
        indent = 0
        while self._at < len(self._text):
            end = self._text.index("\n", self._at)
            line = self._text[self._at : end]
            found = len(line) - len(line.lstrip(" "))
            if line.strip(" "):
                if not indent:
                    if found <= above or any(len(each) > found for each in lines):
                        if found > above:
                            raise self._stop("blank lines that are longer than the text's indentation")
                        break
                    indent = found
                if found < indent:
                    if found > max(above, 0) and line.lstrip(" ")[:1] != "#":
                        raise self._stop("a line that stands further out than its text")
                    break
            lines.append(line[indent:] if indent else line)
            self._at = end + 1
        if not indent:
            raise self._stop("an empty text block")
        return _blocked(lines, folds=header[1] == ">", chomps=header[2])


def _blocked(lines: list[str], *, folds: bool, chomps: str) -> str:
    ends = 0
    while lines and not lines[-1].strip(" "):
        if lines[-1]:
            raise Unsupported("a blank line at the end of a text block holds blanks")
        lines.pop()
        ends += 1
    said = ""
    if folds:
        blanks = 0
        for number, line in enumerate(lines):
            if line == "":
                blanks += 1
                continue
            if line[0] in " \t":
                raise Unsupported("a line in a folded text that stands further in")
            said += ("" if number == 0 else "\n" * blanks if blanks else " ") + line
            blanks = 0
        if lines and lines[0] == "":
            raise Unsupported("a folded text that begins with a blank line")
    else:
        said = "\n".join(lines)
    return said + {"": "\n", "-": "", "+": "\n" * (ends + 1)}[chomps]


def _plain_value(text: str) -> Any:
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.fullmatch(text):
        return int(text)
    return float(text) if _FRACTION.fullmatch(text) else text
