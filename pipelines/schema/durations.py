"""Times in words, for people."""


def time_words(seconds: float) -> str:
    """A time for a person: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def range_words(low: float, high: float) -> str:
    """A range of times in seconds, such as `20 to 40 s` or `50 s to 3 min`; one time if both are
    the same in words."""
    first, last = time_words(low), time_words(high)
    if first == last:
        return last
    number, _, unit = first.partition(" ")
    return f"{number if unit == last.partition(' ')[2] else first} to {last}"
