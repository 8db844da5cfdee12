"""What the literature is: papers with all their identifiers and claims, and what users sent in.

Only moderation.py writes papers and claims, so that every change is kept and can be undone.
"""

from papers.models.claims import Claim, ClaimedNumber, ClaimProposal
from papers.models.history import Change
from papers.models.literature import AXES, FormerKey, Identifier, Paper, Technique
from papers.models.lookups import Link, Lookup, SavedQuery, Sighting, Turn, Update
from papers.models.roles import RoleChange
from papers.models.submissions import Entry, Submission
from papers.models.suggestions import Learnt

__all__ = [
    "AXES",
    "Change",
    "Claim",
    "ClaimProposal",
    "ClaimedNumber",
    "Entry",
    "FormerKey",
    "Identifier",
    "Learnt",
    "Link",
    "Lookup",
    "Paper",
    "RoleChange",
    "SavedQuery",
    "Sighting",
    "Submission",
    "Technique",
    "Turn",
    "Update",
]
