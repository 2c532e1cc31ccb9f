"""Words in messages."""


def plural(count: int, thing: str) -> str:
    """Return "1 window", "2 windows"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
