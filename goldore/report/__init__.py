"""What scores say: numbers of a file, of several files compared, of single samples; pages and figures.

Every view begins with a record, made by one of these functions: `summarize` for a file, `what_is_kept` for a
criterion at work, `compare` for several files, `describe_samples` for single samples. The terminal, the page
and --json (`to_json`) show the same record, so they cannot disagree.

* `records`: what there is to say, with units and ranges;
* `summary`, `kept`, `comparison`, `samples`: the functions;
* `facts`: the sentences about them; `doubts`: those that whoever prunes must know as well;
* `images`: images of single samples, where the dataset is at hand;
* `curves`: how the reliability grows with the trials;
* `figures/`, `page.py`: drawn by matplotlib, laid out by Jinja2 (the extra "report");
* `study_records`, `study_page`: the same for a study.

May import: datasets, files, networks, scores, selection, store, studies, trials.
"""

from typing import TYPE_CHECKING

from goldore.deferred import deferred

if TYPE_CHECKING:
    from goldore.report.comparison import compare
    from goldore.report.kept import what_is_kept
    from goldore.report.samples import describe_samples
    from goldore.report.summary import summarize

__all__ = ["compare", "describe_samples", "summarize", "what_is_kept"]
_HOMES = {
    "compare": "goldore.report.comparison",
    "describe_samples": "goldore.report.samples",
    "summarize": "goldore.report.summary",
    "what_is_kept": "goldore.report.kept",
}
__getattr__ = deferred(__name__, _HOMES)
