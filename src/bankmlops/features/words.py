"""Texts as words: which words a text has, and which of a column's words a model asks for. One rule for training and for scoring.

A word is two letters, digits or underscores and more, in lower case: that of scikit-learn's `CountVectorizer`, which the pickled
pipeline reads texts with. A letter and the accent upon it are one, however the text was typed (Unicode's form NFC).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

MAXIMUM_WORDS = 128
MAXIMUM_LETTERS = 40
MAXIMUM_TEXTS = 20_000
_WORD = re.compile(r"\b\w\w+\b")


def words_of(text: str) -> frozenset[str]:
    """The words of a text, each once."""
    return frozenset(_WORD.findall(unicodedata.normalize("NFC", text).lower()))


def telling_words(texts: Sequence[str | None]) -> tuple[str, ...]:
    """The words of at most `MAXIMUM_TEXTS` texts, evenly spaced, that divide them most evenly: sorted, `MAXIMUM_WORDS` at most.

    A word that a single text has, or that all have, divides nothing, and one of more than `MAXIMUM_LETTERS` is none. The labels
    have no say in it.
    """
    read = texts[:: -(-len(texts) // MAXIMUM_TEXTS) or 1]
    words = (word for text in read if text is not None for word in words_of(text))
    counts = Counter(word for word in words if len(word) <= MAXIMUM_LETTERS)
    dividing = [word for word, count in counts.items() if 1 < count < len(read)]
    return tuple(sorted(sorted(dividing, key=lambda word: (abs(2 * counts[word] - len(read)), word))[:MAXIMUM_WORDS]))


def places_of(text: str | None, places: Mapping[str, int]) -> list[int]:
    """The places of those of its words that have one; a missing text has no words."""
    return [places[word] for word in words_of(text or "") if word in places]
