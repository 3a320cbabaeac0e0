"""The supplement's comparison of sign-aware criteria, under iterative pruning.

large_final and magnitude_increase, each also restricted to weights that kept their sign or that flipped it.
"""

from functools import partial

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.figures import mask_criteria

CRITERIA = (
    "large_final",
    "large_final_same_sign",
    "large_final_diff_sign",
    "magnitude_increase",
    "magnitude_increase_same_sign",
    "magnitude_increase_diff_sign",
    "random",
)


def _claims(criterion: str) -> tuple[Claim, Claim]:
    published = "Zhou et al. 2019, supplement"
    same, diff = {"criterion": f"{criterion}_same_sign"}, {"criterion": f"{criterion}_diff_sign"}
    return (
        Claim(
            f"{criterion} of weights that kept their sign beats that of weights that flipped it, "
            "at every level below 20% of the weights",
            published,
            same,
            diff,
            below=0.20,
        ),
        Claim(
            f"leaving out weights that flipped costs nothing: {criterion}_same_sign is less than a point below "
            f"{criterion}, on average over the levels above 2% of the weights",
            published,
            same,
            {"criterion": criterion},
            above=0.02,
            below=0.99,
            margin=-0.01,
            every_level=False,
        ),
    )


TITLE = "Criteria that look at the sign, trained iteratively"

CLAIMS = (*_claims("large_final"), *_claims("magnitude_increase"))


FIGURE = Drawing(
    compares="criterion",
    names=CRITERIA,
    study=mask_criteria.study,
    tabulate=mask_criteria.tabulate,
    draw=partial(plots.whole_and_top, title=TITLE, styles=styles.CRITERIA, by="criterion"),
    summarise=partial(plots.accuracy_summary, styles=styles.CRITERIA),
    claims=CLAIMS,
    styles=styles.CRITERIA,
    panels=plots.range_panels(styles.CRITERIA, "criterion"),
)
