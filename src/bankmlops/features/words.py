"""Texts as words: which words a text has, and which of a column's words a model asks for. One rule for training and for scoring.

A word is two letters, digits or underscores and more, in lower case: that of scikit-learn's `CountVectorizer`, which the pickled
pipeline reads texts with.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

MAXIMUM_WORDS = 128
MAXIMUM_TEXTS = 20_000
_WORD = re.compile(r"\b\w\w+\b")


def words_of(text: str) -> frozenset[str]:
    """The words of a text, each once."""
    return frozenset(_WORD.findall(text.lower()))


def telling_words(texts: Sequence[str | None]) -> tuple[str, ...]:
    """The words of at most `MAXIMUM_TEXTS` texts, evenly spaced, that divide them most evenly: sorted, `MAXIMUM_WORDS` at most.

    A word that a single text has, or that all have, divides nothing. The labels have no say in it.
    """
    read = texts[:: -(-len(texts) // MAXIMUM_TEXTS) or 1]
    counts = Counter(word for text in read if text is not None for word in words_of(text))
    dividing = [word for word, count in counts.items() if 1 < count < len(read)]
    return tuple(sorted(sorted(dividing, key=lambda word: (abs(2 * counts[word] - len(read)), word))[:MAXIMUM_WORDS]))


def presence(text: str | None, places: Mapping[str, int]) -> tuple[float, ...]:
    """For each of the words of `places`, in their order, 1 where the text has it, else 0; a missing text has none."""
    numbers = [0.0] * len(places)
    for word in words_of(text or ""):
        place = places.get(word)
        if place is not None:
            numbers[place] = 1.0
    return tuple(numbers)
