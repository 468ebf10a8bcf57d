"""The cells of a study: which criterion and keep ratio, for which distiller and how many images per class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from goldore.errors import UsageError, require
from goldore.scores import DEFAULT_SCORES
from goldore.scores.dynamics import DYNAMICS
from goldore.selection.amount import exact_ratio
from goldore.selection.criteria import RANDOM, parse_criterion
from goldore.selection.ordered import Draw
from goldore.selection.rule import End
from goldore.selection.strategies import strategy_of
from goldore.store import ScoreFile
from goldore.trials import DISTILLERS

ALL = "All"
"""The cell that keeps every sample, which all others are compared with."""
UNDISTILLED = "undistilled"
"""The distiller of kept samples that are used as they are, as many as there would be synthetic images."""
PROGRAM = "program"
"""The distiller that is a command of the user's."""
RATIOS = ("0.002", "0.005", "0.01", "0.03", "0.1", "0.3")
DROPPED = "0.2"  # hardest share that the rule of the default criteria leaves out of its draw


@dataclass(frozen=True)
class Cell:
    """One entry of a study's tables.

    Attributes:
        distiller: "dm", "dc", "none" (trained on the kept samples), "undistilled", or "program".
        ipc: images per class; 0 for "none".
        criterion: CRITERION or CRITERION:RULE, as `criterion_of` reads it, or "All".
        keep_ratio: as it was written; "1" for "All", "" for "undistilled", which keeps ipc of each class.
    """

    distiller: str
    ipc: int
    criterion: str
    keep_ratio: str

    @property
    def is_all(self) -> bool:
        """Whether it keeps every sample."""
        return self.criterion == ALL

    @property
    def reference(self) -> "Cell":
        """The cell of all data that it is compared with."""
        return Cell(self.distiller, self.ipc, ALL, "" if self.distiller == UNDISTILLED else "1")

    @property
    def table(self) -> tuple[str, int]:
        """The table that it stands in."""
        return self.distiller, self.ipc

    @property
    def keeps(self) -> tuple[str, str, int]:
        """What its kept samples depend on: cells that share it keep the same."""
        return self.criterion, self.keep_ratio, self.ipc if self.distiller == UNDISTILLED else 0

    @property
    def draws(self) -> bool:
        """Whether other samples are kept for each seed; also where its rule is not to be found here."""
        criterion, _, rule = self.criterion.partition(":")
        if criterion in (RANDOM, ALL):
            return criterion == RANDOM or self.distiller == UNDISTILLED
        try:
            return strategy_of(rule or "end").draws
        except UsageError:
            return True


def split_criteria(given: str | Iterable[str]) -> list[str]:
    """Split texts at their commas, but for those that are followed by a setting, KEY=VALUE."""
    found: list[str] = []
    for text in [given] if isinstance(given, str) else given:
        for part in filter(None, map(str.strip, text.split(","))):
            if "=" in part and ":" not in part and found:
                found[-1] += f",{part}"
            else:
                found.append(part)
    return found


def criterion_of(text: str, known: tuple[str, ...]) -> str:
    """Read CRITERION or CRITERION:RULE, and spell it as goldore does.

    Args:
        text: for example "LossConverge_large:draw,after=0.2".
        known: names of the scores in the file.

    Raises:
        UsageError: if there is no such criterion or rule.
    """
    name, colon, rule = text.partition(":")
    criterion = str(parse_criterion(name.strip(), known))
    if not colon:
        return criterion
    strategy = strategy_of(rule)
    return criterion if strategy == End() else f"{criterion}:{strategy}"


def default_criteria(file: ScoreFile) -> list[str]:
    """Random, every score at both ends, and for losses the rule that drops the hardest and draws the rest.

    Of the dozen scores of training dynamics only the end that their authors drop: they are a few families.
    """
    found = [RANDOM]
    losses = [name for name in DEFAULT_SCORES if name in file.scores]
    dynamics = [row.name for row in DYNAMICS]
    for name in file.score_names:
        ends = ("large", "small") if name not in dynamics else (file.scores[name].drops,)
        found += [f"{name}_{end}" for end in ends]
    drawn = Draw(DROPPED)
    return found + [f"{file.scores[name].criterion}:{drawn}" for name in losses]


def grid(
    file: ScoreFile,
    distillers: Sequence[str],
    ipcs: Sequence[int],
    criteria: Sequence[str] | None,
    ratios: Sequence[str],
) -> list[Cell]:
    """All cells that a study asks for, with all data and Random among them, and the kept images undistilled.

    Args:
        file: with all scores read.
        distillers: out of "dm", "dc" and "none", or "program" alone.
        ipcs: images per class, each 1 or more.
        criteria: as users spell them; None: `default_criteria`.
        ratios: keep ratios, decimals above 0 and below 1.

    Returns:
        Each cell once, table by table.

    Raises:
        UsageError: if a distiller, a criterion or a number is wrong.
    """
    for name in distillers:
        known = (*DISTILLERS, PROGRAM)
        require(name in known, f"there is no distiller {name!r}; choose among {', '.join(DISTILLERS)}.")
    require(bool(distillers), "`distiller` names none; choose among dm, dc and none.")
    for ipc in ipcs:
        require(ipc >= 1, f"`ipc` is {ipc}; it must be 1 or more.")
    require(bool(ipcs) or {*distillers} == {"none"}, "`ipc` names no number of images per class.")
    for ratio in ratios:
        exact = exact_ratio(ratio, "`keep_ratio`")
        require(0 < exact < 1, f"`keep_ratio` is {ratio}; give ratios between 0 and 1: all data run anyway.")
    require(bool(ratios), "`keep_ratio` names no ratio.")
    asked = default_criteria(file) if criteria is None else [RANDOM, *criteria]
    named = list(dict.fromkeys(criterion_of(each, file.score_names) for each in asked))
    spelled = list(dict.fromkeys(_plain(each) for each in ratios))
    found: list[Cell] = []
    for distiller in dict.fromkeys(distillers):
        for ipc in dict.fromkeys((0,) if distiller == "none" else ipcs):
            found.append(Cell(distiller, ipc, ALL, "1"))
            found += [Cell(distiller, ipc, each, ratio) for each in named for ratio in spelled]
    if {"dm", "dc"} & {*distillers}:
        for ipc in dict.fromkeys(ipcs):
            names = [ALL, *(each for each in named if each != RANDOM)]
            found += [Cell(UNDISTILLED, ipc, each, "") for each in names]
    return found


def _plain(ratio: str) -> str:
    """A ratio as short as it can be written: 0.10 is 0.1, and 1e-3 is 0.001."""
    text = f"{Decimal(str(ratio).strip()):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
