"""Preprocessed text with its line markers: where a byte came from, in the user's own files."""

from __future__ import annotations

import bisect
import re

_MARKER = re.compile(rb'^#(?:line)?[ \t]+(\d+)[ \t]+"((?:[^"\\]|\\.)*)"([ \t0-9]*)[ \t]*$', re.M)
# A marker inside a slice of text, with the line ends around it.
_INNER_MARKER = re.compile(rb'(?:^|\n)[ \t]*#[ \t]*(?:line[ \t]+)?\d+[ \t]+"(?:[^"\\]|\\.)*"[ \t0-9]*(?=\n|$)')
_IDENTIFIER = re.compile(rb"(?:[\w$\x80-\xff]|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8})+")
_PRAGMA = re.compile(rb"(?:^|\n)[ \t]*#[ \t]*(?:pragma|ident)[^\n]*")


class SourceText:
    """The text of a unit and the map from byte offsets to (file, line, system header?)."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._offsets: list[int] = [0]
        self._files: list[tuple[str, int, bool]] = [("<unit>", 1, False)]
        for match in _MARKER.finditer(text):
            flags = match.group(3).split()
            name = match.group(2).replace(b"\\\\", b"\\").decode("utf-8", "surrogateescape")
            self._offsets.append(match.end() + 1)
            self._files.append((name, int(match.group(1)), b"3" in flags))

    def origins(self) -> tuple[list[int], list[bool]]:
        """Offsets at which another file begins or goes on, and for each whether it is a system header."""
        return self._offsets, [system for _, _, system in self._files]

    def locate(self, offset: int) -> tuple[str, int]:
        """The user's file and line of the byte at ``offset``."""
        index = bisect.bisect_right(self._offsets, offset) - 1
        name, line, _ = self._files[index]
        return name, line + self.text.count(b"\n", self._offsets[index], offset)

    def where(self, offset: int) -> str:
        """``file:line`` of the byte at ``offset``."""
        name, line = self.locate(offset)
        return f"{name}:{line}"

    def is_system(self, offset: int) -> bool:
        """Whether the byte comes out of a system header."""
        return self._files[bisect.bisect_right(self._offsets, offset) - 1][2]

    def word_end(self, offset: int) -> int:
        """The end of the identifier at ``offset``; the preprocessor writes what is not ASCII as ``\\u`` and ``\\U``."""
        match = _IDENTIFIER.match(self.text, offset)
        return match.end() if match is not None else offset

    def skip_space(self, offset: int) -> int:
        """The first byte at or after ``offset`` that is neither white space nor part of a line marker or pragma."""
        text = self.text
        end = len(text)
        while offset < end:
            byte = text[offset]
            if byte in b" \t\r\n\f\v":
                offset += 1
            elif byte == 0x23 and text[text.rfind(b"\n", 0, offset) + 1 : offset].strip() == b"":
                newline = text.find(b"\n", offset)
                offset = end if newline < 0 else newline + 1
            else:
                break
        return offset

    def flat(self, begin: int, end: int) -> str:
        """The text of a slice on one line: markers removed, runs of line ends turned into spaces."""
        piece = self.text[begin:end]
        if b"\n" in piece:
            if b"#" in piece:
                piece = _INNER_MARKER.sub(b"\n", piece)
                piece = _PRAGMA.sub(b"\n", piece)
            piece = piece.replace(b"\n", b" ")
        return piece.decode("utf-8", "surrogateescape")

    def words(self, begin: int, end: int) -> str:
        """The slice with white space normalised, for matching and for messages."""
        return " ".join(self.flat(begin, end).split())

    def semicolons(self, begin: int, count: int) -> list[int]:
        """Offsets of the next ``count`` semicolons at parenthesis depth 1, from an opening parenthesis at ``begin``;
        the offset of the matching closing parenthesis follows."""
        text = self.text
        depth = 0
        found: list[int] = []
        index = begin
        while index < len(text):
            byte = text[index]
            if byte in b"\"'":
                index += 1
                while text[index] != byte:
                    index += 2 if text[index] == 0x5C else 1
            elif byte in b"([{":
                depth += 1
            elif byte in b")]}":
                depth -= 1
                if depth == 0:
                    found.append(index)
                    return found
            elif byte == 0x3B and depth == 1 and len(found) < count:
                found.append(index)
            elif byte == 0x23 and text[text.rfind(b"\n", 0, index) + 1 : index].strip() == b"":
                index = text.find(b"\n", index)
            index += 1
        return found
