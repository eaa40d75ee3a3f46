"""Finds a text file's encoding: the user's choice, its byte order mark, UTF-8, or else Windows-1252.

Any file can be decoded as Windows-1252, so the decoded letters are checked: if they look wrong, the finding is a
warning.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestvec.data.source import Finding
from nestvec.data.streams import Unpacked, find_mark, read_lines
from nestvec.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

FALLBACK = "windows-1252"
_EXAMPLES = 3
_LOOKED_AT = 1 << 16  # bytes of non-ASCII lines whose letters are checked
_ODD_SHARE = 0.2  # least share of odd letters among non-ASCII ones for a warning; Western text has hardly any
_NUL_SHARE = 0.2  # least share of NULs in a file's first bytes for UTF-16, where every second byte of ASCII is NUL
_SUGGESTED = [  # common encodings of old tables; with rarer ones, charset-normalizer finds one for almost any text
    *("gb18030", "big5", "cp932", "euc_jp", "cp949", "koi8_r", "cp850", "mac_roman", "cp874"),
    *("cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
]
_UNDEFINED = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))  # in Windows-1252
_ACCENTED = "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff\u0160\u0161\u017d\u017e\u0152\u0153\u0178\u0192"
_LETTER = f"A-Za-z{_ACCENTED}"
_ODD = (
    re.compile("[\x81\x8d\x8f\x90\x9d]"),  # controls
    re.compile(f"(?=[^\0-\x7f]*[{_ACCENTED}])[^\0-\x7f]{{4,}}"),  # four and more outside ASCII side by side
    re.compile(f"(?<=[{_LETTER}])[\u00a1-\u00a9\u00ac\u00af-\u00b3\u00b5\u00b6\u00b8\u00b9\u00bb-\u00bf\u0192"
               f"\u2020\u2021\u02c6\u2030\u2039\u02dc\u203a](?=[a-z])"),  # a sign inside a word
    re.compile(f"(?<=[{_LETTER}])[\u201a\u201e]"),  # a quote that opens after a letter
    re.compile("(?<=[a-z])[\u0160\u0152\u017d\u0178\u00c0-\u00de]"),  # a capital after a small letter
)  # fmt: skip


@dataclass(frozen=True)
class Encoding:
    """A file's encoding.

    Attributes:
        name: the encoding's name in Python.
        findings: what to report to the user.
    """

    name: str
    findings: tuple[Finding, ...] = ()


def find_encoding(path: Path, given: str | None = None) -> Encoding:
    """Find a text file's encoding.

    Args:
        path: the file.
        given: the encoding that the user set; it is used, with a warning if the whole file is valid UTF-8.

    Returns:
        The encoding: as given, else UTF-16 or UTF-32 by the byte order mark, else UTF-8 if the file is valid, else
        Windows-1252.

    Raises:
        InputError: the file is damaged, or it looks like UTF-16 without a byte order mark.
    """
    name = given or find_mark(path)
    if name is not None and codecs.lookup(name).name not in ("utf-8", "utf-8-sig"):
        return Encoding(name, _doubt_name(path, name) if given else ())
    _refuse_unmarked_utf16(path)
    if _is_utf8_file(path):
        return Encoding("utf-8")
    if name is None:
        return _judge_fallback(path)
    number = next(number for number, line in read_lines(path) if not _decodes(line))
    raise InputError(f"line {number} is not valid {name}", "--encoding to name the file's encoding", file=path)


def _doubt_name(path: Path, name: str) -> tuple[Finding, ...]:
    """Make the warning for a file that is valid UTF-8, although the user set another encoding."""
    with Unpacked(path) as stream:
        plain = all(piece.isascii() for piece in iter(stream.read, b""))
    if plain or not _is_utf8_file(path):
        return ()
    action = (
        "The file is valid UTF-8 but was read as the encoding that you gave; letters outside ASCII are likely wrong. "
        f"Remove --encoding {name}."
    )
    return (Finding("a file in UTF-8 under another --encoding", 1, action, warning=True),)


def _is_utf8_file(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with Unpacked(path) as stream:
        try:
            for piece in iter(stream.read, b""):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _refuse_unmarked_utf16(path: Path) -> None:
    """Raise InputError if the file looks like UTF-16: many NUL bytes at the start."""
    with Unpacked(path) as stream:
        start = stream.read(4096)
    zeros = start[1::2].count(0), start[::2].count(0)
    if start and sum(zeros) >= _NUL_SHARE * len(start):
        name = "utf-16-le" if zeros[0] >= zeros[1] else "utf-16-be"
        wanted = f"--encoding {name}, or the file saved as UTF-8"
        raise InputError("looks like UTF-16 without a byte order mark", wanted, file=path)


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


@dataclass
class _Lines:
    """Counts lines with a problem, and keeps the numbers of the first ones."""

    count: int = 0
    names: tuple[str, ...] = ()

    def add(self, number: int) -> None:
        """Count a line that has the problem, and keep the line's number if it is among the first."""
        self.count += 1
        if len(self.names) < _EXAMPLES:
            self.names += (f"line {number}",)


def _judge_fallback(path: Path) -> Encoding:
    """Choose Windows-1252, with a finding for each sign that the file may be in another encoding."""
    mixed, undefined, looked_at = _Lines(), _Lines(), list[bytes]()
    size = 0
    for number, line in read_lines(path):
        if line.isascii():
            continue
        if _is_utf8(line):
            mixed.add(number)
        elif line.translate(None, _UNDEFINED) != line:
            undefined.add(number)
        if size < _LOOKED_AT and not _is_utf8(line):
            looked_at.append(line[:_LOOKED_AT])
            size += len(looked_at[-1])
    findings = [_judge_letters(b"".join(looked_at))]
    if undefined.count:
        action = "These bytes became control characters; pass --encoding if the file is in another encoding."
        findings.append(Finding("lines with bytes that Windows-1252 lacks", undefined.count, action, undefined.names))
    if mixed.count:
        action = "They were read as Windows-1252 like the rest; letters outside ASCII in them are wrong."
        findings.append(Finding("lines in UTF-8 in a file that is not", mixed.count, action, mixed.names, warning=True))
    return Encoding(FALLBACK, tuple(findings))


def _is_utf8(line: bytes) -> bool:
    """Whether a line has non-ASCII letters and is valid UTF-8."""
    return not line.isascii() and line.decode(errors="ignore").encode() == line


def _judge_letters(content: bytes) -> Finding:
    """Make the finding for a file that is read as Windows-1252; a warning if its letters look wrong."""
    snippets = re.findall(rb"[^\t,;|\r\n]*[\x80-\xff][^\t,;|\r\n]*", content)[:_EXAMPLES]
    examples = tuple(_decode(snippet[:120], FALLBACK) for snippet in snippets)
    if not has_odd_letters(_decode(content, FALLBACK)):
        return Finding("not UTF-8", 1, "The file was read as Windows-1252; pass --encoding if it is not.", examples)
    action = f"Read as Windows-1252, letters look wrong: {examples[0][:40]!r}. Pass the file's --encoding"
    better = suggest_encoding(content)
    if better is not None:
        action += f", perhaps --encoding {better}: {_decode(snippets[0][:120], better)[:40]!r}"
    return Finding("not UTF-8, and hardly Windows-1252", 1, f"{action}.", examples, warning=True)


def _decode(content: bytes, encoding: str) -> str:
    return content.decode(encoding, "ignore").strip()


def has_odd_letters(text: str) -> bool:
    """Whether text decoded as Windows-1252 has too many signs inside words for a Western language."""
    outside = sum(not letter.isascii() for letter in text)
    odd = sum(len(run) for pattern in _ODD for run in pattern.findall(text))
    return odd >= _ODD_SHARE * max(1, outside)


def suggest_encoding(content: bytes) -> str | None:
    """Let charset-normalizer guess the encoding of bytes that are hardly Windows-1252; None if it finds none."""
    from charset_normalizer import from_bytes

    best = from_bytes(content, cp_isolation=_SUGGESTED, threshold=0.3).best()  # short texts are noisy
    return None if best is None else best.encoding
