"""A text that fits a regular expression, as JSON schemas have them.

The expression is a stranger's, so it is read here and never run: a short one can keep `re` busy for hours.
"""

import string
from typing import Final

CHARS_MAX: Final = 10_000
PLAIN: Final = string.ascii_letters + string.digits + " _-.:/@!"
CLASSES: Final = {
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_",
    "s": " \t\n\r\f\v",
    "D": string.ascii_letters + " ",
    "W": " -.",
    "S": string.ascii_letters + string.digits,
}
CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
HEX_DIGITS: Final = {"x": 2, "u": 4}


def sample(pattern: str, nth: int = 0, chars_more: int = 0) -> str:
    """The `nth` text that fits, made longer by up to `chars_more` where its parts may be repeated.

    Look-arounds and back-references are passed over, so the text may not keep to them.

    Raises:
        ValueError: it cannot be read, or what fits is very long.
    """
    reader = _Reader(pattern, nth, chars_more)
    found = reader.alternatives()
    if reader.at < len(pattern):
        raise ValueError(f"the pattern {pattern!r} has a bracket too many")
    return found


class _Reader:
    """Reads an expression from left to right, and writes as it reads."""

    def __init__(self, pattern: str, nth: int, chars_more: int) -> None:
        self.pattern, self.nth, self.chars_more = pattern, nth, chars_more
        self.at = 0

    def peek(self, size: int = 1) -> str:
        return self.pattern[self.at : self.at + size]

    def take(self) -> str:
        if self.at >= len(self.pattern):
            raise ValueError(f"the pattern {self.pattern!r} breaks off")
        self.at += 1
        return self.pattern[self.at - 1]

    def take_if(self, text: str) -> bool:
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found

    def take_until(self, end: str) -> str:
        stop = self.pattern.find(end, self.at)
        if stop < 0:
            raise ValueError(f"the pattern {self.pattern!r} breaks off")
        found, self.at = self.pattern[self.at : stop], stop + len(end)
        return found

    def alternatives(self) -> str:
        first = self.sequence()
        while self.take_if("|"):
            self.sequence()
        return first

    def sequence(self) -> str:
        text = ""
        while self.peek() not in {"", "|", ")"}:
            atom = self.atom()
            times = self.times(len(atom))
            if len(text) + len(atom) * times > CHARS_MAX:
                raise ValueError(f"what fits the pattern {self.pattern!r} is longer than the sandbox makes it")
            text += atom * times
        return text

    def atom(self) -> str:
        match self.take():
            case "(":
                return self.group()
            case "[":
                return self.choice()
            case "\\":
                found = self.escape()
                return found[self.nth % len(found)] if found else ""
            case "^" | "$":
                return ""
            case ".":
                return PLAIN[self.nth % 26]
            case char:
                return char

    def group(self) -> str:
        is_passed_over = False
        if self.take_if("?"):
            if self.peek(2) in {"<=", "<!"} or self.peek() in {"=", "!"}:
                self.at += 2 if self.peek() == "<" else 1
                is_passed_over = True
            elif self.take_if("<") or self.take_if("P<"):
                self.take_until(">")
            else:
                self.take_until(":")
        found = self.alternatives()
        if not self.take_if(")"):
            raise ValueError(f"the pattern {self.pattern!r} has an open bracket")
        return "" if is_passed_over else found

    def escape(self) -> str:
        """The characters that an escape stands for; none if it stands for a position."""
        char = self.take()
        if char in HEX_DIGITS and all(one in string.hexdigits for one in self.peek(HEX_DIGITS[char])):
            digits, self.at = self.peek(HEX_DIGITS[char]), self.at + HEX_DIGITS[char]
            return chr(int(digits, 16)) if digits else char
        if char in "pP" and self.take_if("{"):
            name = self.take_until("}")
            return string.digits if name.startswith("N") == (char == "p") else string.ascii_letters
        if char in "bBAZz" or char in "123456789":
            return ""
        return CLASSES.get(char) or CONTROLS.get(char) or char

    def choice(self) -> str:
        is_negated, allowed = self.take_if("^"), ""
        is_first = True
        while is_first or self.peek() != "]":
            char = self.take()
            chars = self.escape() if char == "\\" else char
            if self.peek() == "-" and self.peek(2) != "-]" and len(chars) == 1:
                self.at += 1
                end = self.take()
                last = self.escape()[:1] if end == "\\" else end
                chars = "".join(map(chr, range(ord(chars), min(ord(last or chars), ord(chars) + 255) + 1)))
            allowed += chars
            is_first = False
        self.at += 1
        if is_negated:
            allowed = "".join(char for char in PLAIN if char not in allowed) or "¤"
        return allowed[self.nth % len(allowed)] if allowed else ""

    def times(self, atom_chars: int) -> int:
        """How often to write what was just read: as seldom as allowed, but once where it may repeat for ever."""
        least, most = 1, 1
        if self.peek() in {"*", "+", "?"}:
            sign = self.take()
            least, most = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[sign]
        elif self.peek() == "{":
            inner, _, _ = self.pattern[self.at + 1 :].partition("}")
            few, comma, many = inner.partition(",")
            if not few.isdecimal() or (many and not many.isdecimal()):
                return 1  # no quantifier, so it is read as a character next
            self.at += len(inner) + 2
            least = int(few)
            most = int(many) if many else -1 if comma else least
        else:
            return 1
        if self.peek() in {"?", "+"}:
            self.at += 1  # lazy or possessive: the same texts fit
        fewest = max(least, 1) if most < 0 else least
        more = self.chars_more // atom_chars if atom_chars else 0
        more = more if most < 0 else max(0, min(more, most - fewest))
        self.chars_more -= more * atom_chars
        return fewest + more
