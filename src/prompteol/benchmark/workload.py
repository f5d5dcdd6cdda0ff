"""Make up sentences with the lengths of real ones."""

from __future__ import annotations

import random

__all__ = ["sentences"]

# Words of a sentence at every twentieth of the 3,000 sentences of STS Benchmark's dev split (Cer et al., 2017), split
# at blanks.
_LENGTHS = (3, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 21, 29)

_WORDS = """
a the one two some many young old small large red black white green woman man boy girl child people group dog
cat horse bird train car bus boat plane house street city market school river field mountain water snow grass
ball guitar piano flute book paper phone table chair is are was were has plays rides runs walks sits stands
jumps cuts cooks eats drinks reads writes says holds throws opens closes with and of in on at by near under over
through from to for after before today yesterday again slowly quickly government police company bank court
president minister report percent million dollars talks deal vote attack fire storm game team season
"""


def sentences(count: int, *, seed: int = 0) -> list[str]:
    """Make up sentences whose lengths are spread as those of STS Benchmark.

    Args:
        count: how many.
        seed: the same seed gives the same sentences.
    """
    rng = random.Random(seed)  # noqa: S311 - nothing here is a secret
    return [_sentence(rng, _length(rng)) for _ in range(count)]


def _length(rng: random.Random) -> int:
    place = rng.randrange(len(_LENGTHS) - 1)
    return rng.randint(_LENGTHS[place], _LENGTHS[place + 1])


def _sentence(rng: random.Random, length: int) -> str:
    return " ".join(rng.choices(_WORDS.split(), k=length)).capitalize() + "."
