"""Changed copies of texts for a teacher to label: words left out, exchanged, masked or replaced.

Sources: Wei & Zou 2019 (EDA: deletion and swap); Tang et al. 2019 (masking for distillation); Xie et al. 2020
(UDA, section 2.2: replacement by other words of the data, here by their frequency).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slimgate.compress.training.transfer_params import Augment

Words = list[str]


def augmented(texts: Sequence[str], options: Augment, *, mask: str, seed: int) -> list[str]:
    """`copies` changed copies of every text, one copy of all texts after another. No text becomes empty.

    mask: the word that takes a masked word's place. The same seed gives the same copies.
    """
    words = [text.split() for text in texts]
    pool = np.asarray([word for row in words for word in row], dtype=object)
    generators = [np.random.default_rng([seed, copy]) for copy in range(options.copies)]
    return [
        " ".join(_changed(list(row), options, pool, mask, generator))
        for generator in generators
        for row in words
    ]


def _changed(
    words: Words, options: Augment, pool: npt.NDArray[np.object_], mask: str, generator: np.random.Generator
) -> Words:
    for place in np.flatnonzero(generator.random(len(words)) < options.word_replace):
        words[place] = str(pool[generator.integers(len(pool))])
    for place in np.flatnonzero(generator.random(len(words)) < options.word_mask):
        words[place] = mask
    for place in np.flatnonzero(generator.random(len(words)) < options.word_swap):
        other = int(generator.integers(len(words)))
        words[place], words[other] = words[other], words[place]
    keep = generator.random(len(words)) >= options.word_dropout
    if not keep.any():
        keep[generator.integers(len(words))] = True
    return [word for word, kept in zip(words, keep, strict=True) if kept]
