"""All that a page and its figures are made of."""

from dataclasses import dataclass, field

from goldore.report.images import Images
from goldore.report.issues import Issues
from goldore.report.records import Comparison, Kept, SampleRecord, Summary
from goldore.selection.pruning import Selection
from goldore.store import ScoreFile


@dataclass(frozen=True)
class Material:
    """A score file, and what is to be shown of it.

    Attributes:
        file: on the disk, with all its scores.
        summary: as `summarize` gives it, with curves.
        kept: selections, and what `what_is_kept` says of each.
        samples: as `describe_samples` gives them.
        comparison: as `compare` gives it; None for a single file.
        issues: as `find_issues` gives them; None leaves them out.
        images: of the samples; None where the dataset is not at hand.
        no_images: why there are none; one sentence, or empty.
    """

    file: ScoreFile
    summary: Summary
    kept: tuple[tuple[Selection, Kept], ...] = ()
    samples: tuple[SampleRecord, ...] = ()
    comparison: Comparison | None = None
    issues: Issues | None = None
    images: Images | None = field(default=None, repr=False)
    no_images: str = ""
