# SPDX-License-Identifier: MIT
"""When a difference is a difference.

Repetitions are few and the machines are shared, so nothing here is a test of a hypothesis with a
level to quote: the rules are coarse, and rather give no verdict than a wrong one.
"""

import math
import statistics

# Within one run a difference below this is a tie: the machines this runs on are not quieter. One
# repetition alone tells less.
TIE = 1.2
TIE_ALONE = 1.5

# Between two runs: the least difference, and where there are enough repetitions for ranks to decide
# (nine against nine of one source mix that little once in a thousand times).
CHANGE = 1.05
RANKS_FROM = 9
RANKS_CHANCE = 0.001

FASTER, SLOWER, TIED, UNCLEAR = "faster", "slower", "tie", "no verdict"


def relative_range(times):
    """The distance from best to worst as a share of the median; 0 for one repetition."""
    if len(times) < 2:
        return 0.0
    return (max(times) - min(times)) / statistics.median(times)


def overlap(a, b):
    return min(a) <= max(b) and min(b) <= max(a)


def judge(own, other):
    """How one contender's repetitions stand to those of another of the same row and run.

    A difference of medians of a fifth or more counts when no repetition of one lies among those of
    the other; where some do, there is no verdict.
    """
    ratio = statistics.median(own) / statistics.median(other)
    alone = min(len(own), len(other)) < 2
    limit = TIE_ALONE if alone else TIE
    if 1 / limit < ratio < limit:
        return TIED
    if not alone and overlap(own, other):
        return UNCLEAR
    return FASTER if ratio < 1 else SLOWER


def rank_chance(a, b):
    """The chance that samples of one source mix as little as these, by the rank sum's normal form.

    Exact enough for the decision it is used for: from nine repetitions on.
    """
    ranks = {}
    for value in a + b:
        below = sum(1 for one in a + b if one < value)
        equal = sum(1 for one in a + b if one == value)
        ranks[value] = below + (equal + 1) / 2
    total = len(a) + len(b)
    expected = len(a) * (total + 1) / 2
    deviation = math.sqrt(len(a) * len(b) * (total + 1) / 12)
    distance = abs(sum(ranks[value] for value in a) - expected) - 0.5
    return math.erfc(max(distance, 0) / deviation / math.sqrt(2))


def changed(before, after, usual=0.0):
    """Whether a second run differs from a first beyond the noise of both.

      usual   the relative range that is usual where these were measured: a few repetitions may
              lie close together by luck, and must not be taken for quiet ones

    The medians must differ by more than CHANGE, and by more than both ranges together; from
    RANKS_FROM repetitions on it is enough that ranks hardly mix.
    """
    ratio = statistics.median(after) / statistics.median(before)
    factor = max(ratio, 1 / ratio)
    if factor <= CHANGE:
        return False
    ranges = max(relative_range(before), usual) + max(relative_range(after), usual)
    if factor > 1 + ranges and min(len(before), len(after)) > 1:
        return True
    enough = min(len(before), len(after)) >= RANKS_FROM
    return enough and rank_chance(before, after) < RANKS_CHANCE
