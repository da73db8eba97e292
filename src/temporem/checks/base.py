"""The interface of a check, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from temporem.checks.evidence import Evidence


class Verdict(StrEnum):
    """Meaning of a finding for a reconstruction."""

    GOOD = "good"
    UNKNOWN = "cannot tell"
    WARNING = "warning"
    REFUSED = "refused"


@dataclass(frozen=True)
class Finding:
    """One finding of a check.

    Attributes:
        check: name of the check.
        verdict: what it means for a reconstruction.
        evidence: a sentence with the numbers that it rests on.
        remedy: the next thing to do; empty where nothing is wrong.
    """

    check: str
    verdict: Verdict
    evidence: str
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """Evidence and remedy in one line."""
        return f"{self.evidence}; {self.remedy}" if self.remedy else self.evidence


class Check(Protocol):
    """Looks at one side of a dataset."""

    name: str

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what it finds; an empty list where it has nothing to look at."""
        ...
