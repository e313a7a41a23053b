"""Class names for the properties of label maps, and how many of them a run tries."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

settings.register_profile("companion", deadline=None, max_examples=50)
settings.load_profile("companion")

NAMES = st.text(st.characters(codec="utf-8"), max_size=6)
WHOLE = st.integers(min_value=-(2**62), max_value=2**62)
CLASSES = st.one_of(
    st.lists(NAMES, min_size=1, max_size=12, unique=True),
    st.lists(WHOLE, min_size=1, max_size=12, unique=True),
)
