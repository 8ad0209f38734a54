"""Words of a foreign server, for an editor: on a page, in a log, and in an error."""

_LONGEST = 300


def words_of(error: object, longest: int = _LONGEST) -> str:
    """A server's message in one line of at most `longest` characters, without control characters.

    `error` is its text, or the JSON that it stands in: an object with `error`, `detail`, `message`
    or `msg`, or a list of such, of which the first three count.
    """
    if isinstance(error, dict):
        inner = (
            error.get("error") or error.get("detail") or error.get("message") or error.get("msg")
        )
        return words_of(inner, longest) if inner else ""
    if isinstance(error, list):
        return "; ".join(filter(None, (words_of(item, longest) for item in error[:3])))[:longest]
    text = "".join(mark if mark.isprintable() else " " for mark in str(error or ""))
    return " ".join(text.split())[:longest]
