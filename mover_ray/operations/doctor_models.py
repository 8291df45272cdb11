"""May the configured models be used here, and for what?"""

import re

from mover_ray.datasets.catalog import READERS
from mover_ray.operations.doctor_check import OK, WARN, Check

#: Licences that bind what the weights may be used for, by words of their names.
_RESTRICTED = re.compile(r"\bNC\b|non-?commercial|research|academic|proprietary", re.IGNORECASE)


def check_model(path: str) -> Check:
    """Is the bundle whole and trained, and do its licence and training data bind its use?

    Raises:
        ArtifactError: It is missing, altered or not acceptable.
    """
    from mover_ray.models import bundle as bundles

    card = bundles.verify(path)
    found = f"{card.model_id}, {card.detector_name}, licence: {card.licence}"
    name = f"model {path}"
    if not card.trained:
        return Check(name, WARN, f"{found}, not trained", "its scores mean nothing")
    bonds = [f"the licence {card.licence}"] if _RESTRICTED.search(card.licence) else []
    # Every public data set has terms of its own, and none allows every use.
    seen = sorted(set(card.training.datasets) & set(READERS))
    bonds += [f"the terms of {', '.join(seen)}, which it was trained on"] if seen else []
    if bonds:
        hint = "ask the owners before you use it for anything but research"
        return Check(name, WARN, f"{found}; its use is bound by {' and '.join(bonds)}", hint)
    return Check(name, OK, found)
