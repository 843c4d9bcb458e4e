"""Every form of files that hoi_d2 reads."""

from __future__ import annotations

from tests.fuzz import annotations, others, results, weights
from tests.fuzz.form import Form

FORMS: dict[str, Form] = {
    form.name: form for form in (*annotations.FORMS, *results.FORMS, *weights.FORMS, *others.FORMS)
}
