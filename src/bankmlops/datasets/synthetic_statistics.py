"""What the stand-in knows of UCI Bank Marketing: its categories, and rounded summary statistics of the public training file.

None of it is a row of the data.
Shares are relative: within one tuple they need not add up to anything. Ranges and quantiles are rounded to the column's unit.
Source: Moro, Cortez and Rita, "A data-driven approach to predict the success of bank telemarketing", 2014; CC BY 4.0.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

CLASSES = ("no", "yes")
CLASS_SHARES = (888, 112)


class Phase(IntEnum):
    """The campaign's four phases: the economy decided who was called, who had been called before, and who said yes."""

    GROWTH = 0
    CRISIS = 1
    SPRING = 2
    THAW = 3


class Period(NamedTuple):
    """A month of the campaign, its economy, how many calls it had by class, and the share of them to a mobile telephone."""

    phase: Phase
    month: str
    employment_variation: float
    consumer_prices: float
    consumer_confidence: float
    employed: float
    euribor: tuple[float, float]
    share_no: int
    share_yes: int
    cellular: float


PERIODS = (
    Period(Phase.GROWTH, "may", 1.1, 93.994, -36.4, 5191.0, (4.855, 4.864), 18255, 592, 0.0),
    Period(Phase.GROWTH, "jun", 1.4, 94.465, -41.8, 5228.1, (4.864, 4.967), 10094, 449, 0.0),
    Period(Phase.GROWTH, "jul", 1.4, 93.918, -42.7, 5228.1, (4.955, 4.968), 15302, 977, 0.85),
    Period(Phase.GROWTH, "aug", 1.4, 93.444, -36.1, 5228.1, (4.962, 4.970), 11751, 659, 0.97),
    Period(Phase.CRISIS, "oct", -0.1, 93.798, -40.4, 5195.8, (4.760, 5.045), 58, 103, 0.0),
    Period(Phase.CRISIS, "nov", -0.1, 93.200, -42.0, 5195.8, (3.853, 4.733), 8370, 452, 0.90),
    Period(Phase.CRISIS, "dec", -0.2, 92.756, -45.9, 5176.3, (3.282, 3.816), 24, 0, 0.25),
    Period(Phase.THAW, "mar", -1.8, 92.843, -50.0, 5099.1, (1.510, 1.811), 343, 300, 0.93),
    Period(Phase.SPRING, "apr", -1.8, 93.075, -47.1, 5099.1, (1.365, 1.498), 4892, 1074, 0.93),
    Period(Phase.SPRING, "may", -1.8, 92.893, -46.2, 5099.1, (1.244, 1.354), 12983, 1241, 0.92),
    Period(Phase.THAW, "jun", -2.9, 92.963, -40.8, 5076.2, (1.099, 1.286), 1144, 662, 0.91),
    Period(Phase.THAW, "jul", -2.9, 92.469, -33.6, 5076.2, (0.899, 1.085), 273, 152, 0.86),
    Period(Phase.THAW, "aug", -2.9, 92.201, -31.4, 5076.2, (0.821, 0.884), 1214, 646, 0.91),
    Period(Phase.THAW, "sep", -3.4, 92.379, -29.8, 5017.5, (0.739, 0.819), 388, 261, 0.89),
    Period(Phase.THAW, "oct", -3.4, 92.431, -26.9, 5017.5, (0.720, 0.754), 662, 413, 0.88),
    Period(Phase.THAW, "nov", -3.4, 92.649, -30.1, 5017.5, (0.714, 0.722), 449, 419, 0.86),
    Period(Phase.THAW, "dec", -3.0, 92.713, -33.0, 5023.5, (0.700, 0.721), 203, 209, 0.85),
    Period(Phase.THAW, "mar", -1.8, 93.369, -34.8, 5008.7, (0.634, 0.655), 267, 367, 0.84),
    Period(Phase.THAW, "apr", -1.8, 93.749, -34.6, 5008.7, (0.635, 0.663), 188, 243, 0.87),
    Period(Phase.THAW, "may", -1.8, 93.876, -40.0, 5008.7, (0.668, 0.701), 246, 288, 0.82),
    Period(Phase.THAW, "jun", -1.7, 94.055, -39.8, 4991.6, (0.702, 0.767), 288, 264, 0.73),
    Period(Phase.THAW, "jul", -1.7, 94.215, -40.3, 4991.6, (0.782, 0.899), 322, 434, 0.80),
    Period(Phase.THAW, "aug", -1.7, 94.027, -38.3, 4991.6, (0.886, 0.905), 270, 276, 0.75),
    Period(Phase.THAW, "sep", -1.1, 94.199, -37.5, 4963.6, (0.876, 0.886), 364, 361, 0.81),
    Period(Phase.THAW, "oct", -1.1, 94.601, -49.5, 4963.6, (0.942, 1.045), 276, 215, 0.83),
    Period(Phase.THAW, "nov", -1.1, 94.767, -50.8, 4963.6, (1.028, 1.050), 167, 146, 0.90),
)

EDUCATIONS = (
    "basic.4y",
    "basic.6y",
    "basic.9y",
    "high.school",
    "illiterate",
    "professional.course",
    "university.degree",
    "unknown",
)
AGE_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


class Job(NamedTuple):
    """The clients of one job: age at `AGE_QUANTILES`, shares of `EDUCATIONS`, and how often the credit record is unknown."""

    name: str
    ages: tuple[int, ...]
    educations: tuple[int, ...]
    default_unknown: float


JOBS = (
    Job("admin.", (20, 27, 31, 36, 44, 55, 72), (7, 13, 50, 322, 1, 34, 549, 24), 0.12),
    Job("blue-collar", (20, 26, 33, 39, 46, 55, 80), (245, 155, 395, 92, 1, 50, 10, 51), 0.34),
    Job("entrepreneur", (20, 29, 35, 41, 49, 56, 69), (97, 55, 143, 153, 2, 91, 422, 35), 0.21),
    Job("housemaid", (21, 30, 37, 46, 53, 60, 85), (454, 76, 85, 165, 1, 48, 124, 46), 0.30),
    Job("management", (21, 29, 35, 42, 50, 58, 80), (36, 30, 57, 100, 0, 30, 706, 41), 0.15),
    Job("retired", (23, 48, 56, 59, 69, 82, 98), (349, 48, 85, 153, 1, 141, 167, 55), 0.22),
    Job("self-employed", (21, 27, 32, 39, 47, 57, 71), (73, 20, 143, 84, 2, 128, 530, 20), 0.21),
    Job("services", (20, 25, 31, 36, 45, 55, 62), (34, 56, 100, 669, 0, 57, 47, 37), 0.24),
    Job("student", (17, 19, 22, 25, 29, 36, 46), (31, 15, 110, 412, 0, 48, 185, 199), 0.12),
    Job("technician", (20, 27, 32, 37, 44, 55, 70), (8, 13, 58, 129, 0, 495, 267, 30), 0.15),
    Job("unemployed", (21, 26, 32, 39, 47, 56, 66), (115, 33, 185, 252, 0, 137, 259, 19), 0.24),
    Job("unknown", (24, 28, 36, 45, 53, 61, 81), (175, 62, 91, 95, 0, 36, 138, 404), 0.45),
)

DURATION_QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
OUTCOMES = ("nonexistent", "failure", "success")


class Segment(NamedTuple):
    """The calls of one phase that ended in one class.

    Shares of `JOBS`; seconds at `DURATION_QUANTILES`; shares of 1, 2, ... 8 calls and of more; shares of `OUTCOMES` of an earlier
    campaign; how much more often than in the job at large the credit record is unknown.
    """

    jobs: tuple[int, ...]
    durations: tuple[int, ...]
    campaigns: tuple[int, ...]
    outcomes: tuple[int, int, int]
    default_factor: float


# By phase, the "no" before the "yes".
SEGMENTS = (
    Segment(
        (244, 246, 34, 32, 61, 30, 34, 99, 7, 181, 22, 11),
        (0, 13, 36, 57, 97, 135, 164, 200, 281, 451, 599, 1019, 1666, 3400),
        (381, 249, 145, 72, 44, 27, 18, 12, 51),
        (1000, 0, 0),
        1.35,
    ),
    Segment(
        (252, 245, 41, 18, 68, 40, 26, 109, 10, 167, 15, 10),
        (180, 290, 435, 509, 623, 729, 803, 893, 1060, 1357, 1613, 2203, 3183, 3650),
        (344, 265, 162, 76, 48, 35, 16, 8, 46),
        (1000, 0, 0),
        1.30,
    ),
    Segment(
        (262, 150, 73, 18, 144, 19, 51, 88, 5, 152, 36, 1),
        (2, 11, 37, 52, 82, 117, 144, 178, 253, 432, 600, 1055, 2429, 4900),
        (517, 283, 96, 47, 24, 15, 10, 3, 5),
        (796, 194, 10),
        0.55,
    ),
    Segment(
        (240, 142, 93, 33, 142, 27, 49, 60, 5, 175, 27, 5),
        (37, 90, 131, 157, 376, 543, 651, 709, 902, 1210, 1503, 2016, 2300, 2450),
        (678, 219, 66, 27, 5, 0, 0, 0, 5),
        (885, 104, 11),
        0.30,
    ),
    Segment(
        (231, 306, 39, 11, 66, 22, 29, 126, 24, 129, 14, 4),
        (0, 9, 21, 47, 93, 140, 172, 211, 290, 444, 584, 984, 1954, 3500),
        (451, 262, 116, 62, 42, 28, 16, 11, 12),
        (681, 302, 18),
        0.72,
    ),
    Segment(
        (269, 197, 35, 20, 64, 59, 45, 84, 47, 153, 25, 3),
        (78, 107, 139, 179, 307, 431, 530, 621, 774, 1060, 1232, 1710, 2301, 2900),
        (529, 236, 127, 54, 37, 5, 5, 3, 4),
        (754, 166, 80),
        0.40,
    ),
    Segment(
        (310, 65, 18, 26, 76, 133, 36, 48, 81, 150, 43, 13),
        (1, 6, 36, 67, 99, 129, 151, 181, 252, 407, 564, 1013, 2055, 3800),
        (548, 255, 98, 40, 30, 12, 8, 4, 6),
        (604, 284, 113),
        0.13,
    ),
    Segment(
        (326, 57, 12, 29, 70, 143, 27, 42, 90, 152, 42, 9),
        (63, 84, 122, 149, 204, 256, 293, 341, 442, 663, 845, 1336, 2062, 3050),
        (533, 278, 112, 38, 18, 12, 6, 1, 1),
        (476, 177, 347),
        0.13,
    ),
)
# Beyond eight calls each further call is about this likely, up to the maximum.
CAMPAIGN_DECAY = 0.82
CAMPAIGN_MAXIMUM = 43

# By age group: under the first bound, under the second, ..., from the last on.
MARITALS = ("divorced", "married", "single", "unknown")
MARITAL_AGES = (27, 32, 38, 60)
MARITAL_SHARES = ((14, 208, 777, 1), (48, 408, 541, 3), (84, 592, 321, 3), (154, 718, 126, 2), (188, 775, 37, 1))

DEFAULTS = ("no", "unknown", "yes")
DEFAULT_YES = 0.0001

# Housing loan and personal loan: what is known of the one is known of the other.
LOANS = (("no", "no"), ("no", "yes"), ("yes", "no"), ("yes", "yes"), ("unknown", "unknown"))
LOAN_SHARES = (3905, 628, 4340, 890, 237)

CONTACTS = ("cellular", "telephone")
DAYS = ("mon", "tue", "wed", "thu", "fri")
DAY_SHARES = ((210, 196, 195, 209, 191), (181, 206, 206, 225, 182))

# By outcome of the earlier campaign: how many calls it had (0, 1, ... 7), and the days since (0, 1, ... 27; the last share: 999).
PREVIOUS_SHARES = ((1, 0, 0, 0, 0, 0, 0, 0), (0, 874, 98, 21, 6, 1, 0, 0), (0, 621, 240, 93, 32, 11, 3, 1))
NEVER = 999
DAYS_SINCE = (*range(28), NEVER)
DAYS_SINCE_SHARES = (
    (*(0,) * 28, 1),
    (0, 0, 0, 1, 0, 1, 6, 3, 1, 6, 1, 1, 3, 2, 1, 3, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 966),
    (11, 20, 50, 313, 83, 32, 277, 33, 9, 30, 32, 19, 34, 20, 11, 12, 5, 3, 2, 2, 0, 0, 2, 0, 0, 0, 1, 1, 0),
)
