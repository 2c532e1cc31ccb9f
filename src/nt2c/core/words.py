"""Words in messages."""


def plural(count: int, thing: str) -> str:
    """Return "1 window", "2 windows"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def printable(text: str) -> str:
    r"""Return text as a terminal can show it: control characters, and bytes, as \x1b or \udcff."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text
    )
