"""Names that a wrong one may stand for."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 4


def close_names(wrong: str, known: Iterable[str]) -> list[str]:
    """Find names like a wrong one, the closest first; upper and lower case are alike.

    A name that contains the wrong one counts too: ``defocus`` finds ``rlnDefocusU``.

    Args:
        wrong: name that does not exist.
        known: names that do.
    """
    plain = {name.lower(): name for name in known}
    wanted = wrong.lower().removeprefix("_")
    if wanted in plain:
        return [plain[wanted]]
    found = get_close_matches(wanted, plain, n=_MOST, cutoff=0.75)
    found += [name for name in plain if len(wanted) > 2 and wanted in name]
    found += get_close_matches(wanted, plain, n=_MOST, cutoff=0.55)
    return [plain[name] for name in dict.fromkeys(found)][:_MOST]
