"""Text that is safe on a terminal: what comes from servers and files may not move the cursor or end a line."""

from __future__ import annotations

MAXIMUM_LINE = 2000


def one_line(text: str) -> str:
    """The text on one line, without control characters, bounded in length."""
    line = " ".join(printable(text.replace("\n", " ").replace("\r", " ")).split())
    return line if len(line) <= MAXIMUM_LINE else f"{line[: MAXIMUM_LINE - 3]}..."


def printable(text: str) -> str:
    """The text with every control character but the tab replaced."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\t" else "\N{REPLACEMENT CHARACTER}" for character in text
    )
