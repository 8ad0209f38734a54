"""Words of a text as the gates of the strategy `direct` compare them."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

_WITHOUT_MEANING = """
    a about above across after against all along also although am among an and any are around as at
    away back be because been before behind being below beneath beside between beyond both but by
    can could did do does doing down during each either else every few for from further had has have
    having he her here hers herself him himself his how i if in inside into is it its itself just
    least less like made make makes many may me might more most much must my near of off on once one
    only onto or other our out outside over own per quite rather same she should slightly so some
    something somewhere still such than that the their them then there these they this those though
    through to together too toward towards under until up upon us very was we were what when where
    which while who whose why will with within would yet you your
"""
"""Articles, pronouns, prepositions, auxiliary verbs."""
_NOT_SEEN = """
    animation cinematic clip day documentary film footage movie music picture please scene shot
    show showing shows someone sound story thing things time video
"""
"""Words of a brief that name the film or cannot be seen. They are not looked for in its shots."""
_EMPTY = frozenset((_WITHOUT_MEANING + _NOT_SEEN).split())
_NEGATION = re.compile(
    r"\b(?:no|not|never|without|none|nobody|nothing|nowhere|neither|nor|cannot|avoid|except)\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"(?<=[,.;:!?])\s+|\s+(?=but\b)")
_QUOTED = re.compile(r"[\"“”„«»]([^\"“”„«»]{1,60})[\"“”„«»]")
_LEADS_TO_QUOTE = re.compile(
    r"\b(?:(?:that|which) )?(?:says?|reads?|saying|reading|called|named|titled)\b(?=\W{0,3}[\"“„«])"
)
"""What says that a quotation follows, and cannot be seen itself."""
_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": ".", "\u00a0": " "}
)
_ENDINGS = ("ings", "ing", "ers", "ies", "ied", "est", "ed", "er", "es", "ly", "y", "s", "e")
_MARKS = frozenset({"So", "Sk"})


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case, without their `'s` and without accents."""
    found = re.findall(r"[^\W_]+(?:'[^\W_]+)?", plain(text).lower())
    return [word.removesuffix("'s") for word in found]


def stem_of(word: str) -> str:
    """`word` without an English ending, so that `boats` and `boat`, or `fishing` and `fish`, agree.

    Three letters stay at least. It is no dictionary: `wolves` and `wolf` differ.
    """
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            stem = word.removesuffix(ending)
            # `running` has a letter more than `run`.
            doubled = len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "aeiouls"
            return stem[:-1] if doubled else stem
    return word


def says(word: str, stems: Iterable[str]) -> bool:
    """Whether a text with these stems says `word`, also as a part of a longer word (`fish` in
    `fisherman`), and in British or American spelling: models write `gray` of a grey cat."""
    stem = _american(stem_of(word))
    found = map(_american, stems)
    return any(stem == other or (len(stem) >= 4 and other.startswith(stem)) for other in found)


def _american(stem: str) -> str:
    """The stem in American spelling, where that differs in a way that a rule can tell."""
    if stem == "gre":  # of grey
        return "gra"
    return f"{stem[:-3]}or" if len(stem) > 4 and stem.endswith("our") else stem


@lru_cache(maxsize=4_096)  # each shot of a long film is compared with all shots before it
def stems_of(text: str) -> frozenset[str]:
    """The stems of all words of `text`."""
    return frozenset(stem_of(word) for word in words_of(text))


def content_words(idea: str) -> list[str]:
    """What a film of `idea` must show: its nouns, attributes and verbs, in order, each once.

    Code cannot tell a verb from a noun, so verbs are among them. What the idea excludes ("no
    people") and what stands in quotation marks is not.
    """
    shown = unquoted(_LEADS_TO_QUOTE.sub(" ", wanted(idea)))
    found = [word for word in words_of(shown) if _is_content(word)]
    return list(dict.fromkeys(found))


def _is_content(word: str) -> bool:
    whole = word.partition("'")[0]
    return len(whole) > 1 and whole not in _EMPTY


def attributes(idea: str) -> list[tuple[str, str]]:
    """Neighbours among the words of `idea`, such as `red` and `kite`: an attribute and its noun, or
    something that is none, such as a noun and its verb."""
    kept = content_words(idea)
    words = words_of(wanted(idea))
    return [(one, two) for one, two in pairwise(words) if one in kept and two in kept]


def missing_words(words: Iterable[str], text: str) -> list[str]:
    """Those of `words` that `text` does not say."""
    stems = stems_of(text)
    return [word for word in words if not says(word, stems)]


def wanted(idea: str) -> str:
    """`idea` without what it excludes: of each clause, what stands before the negation."""
    parts = []
    for clause in _CLAUSE.split(idea):
        if negation := _NEGATION.search(clause):
            clause = clause[: negation.start()].rstrip(" ,")
        parts.append(clause)
    return " ".join(part for part in parts if part)


def excluded(idea: str) -> list[str]:
    """What `idea` excludes, each as it stands there, such as `no people`."""
    found = []
    for clause in _CLAUSE.split(idea):
        if negation := _NEGATION.search(clause):
            found.append(clause[negation.start() :].strip(" ,.;:!?"))
    return found


def is_negated(text: str) -> bool:
    """Whether `text` says what is not there. A video model shows it all the same."""
    return _NEGATION.search(text) is not None


def quoted(idea: str) -> list[str]:
    """The texts in quotation marks, which the film must show, in order, each once."""
    found = (" ".join(match[1].split()) for match in _QUOTED.finditer(idea))
    return list(dict.fromkeys(text for text in found if text))


def unquoted(idea: str) -> str:
    """`idea` without its texts in quotation marks."""
    return _QUOTED.sub(" ", idea)


def plain(text: str) -> str:
    """`text` in ASCII, if only marks and accents are in the way; else unchanged where it is not.

    A language model writes typographic quotation marks and dashes, and `café`.
    """
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    return "".join(char for char in folded if not unicodedata.combining(char))


def symbols_in_words(text: str) -> str:
    """The Unicode names of the pictographs of `text`, such as `fox, snowflake`; empty if there are
    none."""
    names = []
    for char in text:
        if unicodedata.category(char) in _MARKS and not 0x1F3FB <= ord(char) <= 0x1F3FF:
            name = unicodedata.name(char, "").lower()
            name = re.sub(r"\b(?:face|with|symbol|sign|heavy|black|emoji)\b", " ", name)
            names.append(" ".join(name.split()))
    return ", ".join(dict.fromkeys(name for name in names if name))


def whole_words(text: str, limit: int) -> str:
    """`text` without its last word and the small words before it, if its `limit` of characters cut
    it off. A shorter text ended by itself, and a longer one had no limit."""
    if len(text) != limit or text[-1] in ".!?":
        return text
    kept = text.split()[:-1]
    while kept and kept[-1].lower().strip(",") in _EMPTY:
        kept.pop()
    return " ".join(kept).rstrip(" ,'-")


def overlap(mine: Iterable[str], theirs: Iterable[str]) -> float:
    """Jaccard overlap of two sets of words, 0 to 1."""
    left, right = set(mine), set(theirs)
    return len(left & right) / len(left | right) if left | right else 0.0
