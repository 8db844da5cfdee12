"""What the literature is: papers with all their identifiers and claims, and what users sent in.

Only moderation.py writes papers and claims, so that every change is kept and can be undone.
"""

from papers.models.claims import Claim
from papers.models.history import Change
from papers.models.literature import AXES, FormerKey, Identifier, Paper, Technique
from papers.models.submissions import Entry, Submission
from papers.models.suggestions import Learnt

__all__ = [
    "AXES",
    "Change",
    "Claim",
    "Entry",
    "FormerKey",
    "Identifier",
    "Learnt",
    "Paper",
    "Submission",
    "Technique",
]
