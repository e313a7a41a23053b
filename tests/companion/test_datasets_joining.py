from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import LabelledImages, LabelMap, UnknownLabelError, join

settings.register_profile("companion", deadline=None, max_examples=50)
settings.load_profile("companion")

POOL = st.lists(st.sampled_from("abcdef"), min_size=1, unique=True)


def shown(letters: Sequence[str], classes: Sequence[str]) -> LabelledImages:
    """Images whose pixels say which class they show, whatever their index."""
    images = torch.tensor([float(ord(name)) for name in letters]).view(-1, 1, 1, 1)
    label_map = LabelMap([*classes])
    return LabelledImages(images.expand(-1, 1, 2, 2), label_map.encode([*letters]), label_map)


def names(data: LabelledImages) -> list[str]:
    """Return the classes that the pixels show."""
    return [chr(int(value)) for value in data.images[:, 0, 0, 0].tolist()]


class TestNewClasses:
    @given(POOL, POOL)
    def test_every_label_keeps_its_name_and_the_firsts_keep_their_index(
        self, mine: list[str], theirs: list[str]
    ) -> None:
        first, second = shown(mine, mine), shown(theirs, theirs)
        joined = join(first, second, new_classes=True)
        assert joined.label_map == first.label_map.union(second.label_map)
        assert names(joined) == [*mine, *theirs]
        assert joined.label_map.decode(joined.labels) == names(joined)
        assert torch.equal(joined.labels[: len(first)], first.labels)

    @given(POOL, POOL)
    def test_without_it_only_known_classes_are_joined(
        self, mine: list[str], theirs: list[str]
    ) -> None:
        first, second = shown(mine, mine), shown(theirs, theirs)
        unknown = [name for name in theirs if name not in mine]
        if unknown:
            with pytest.raises(UnknownLabelError, match="in the map to align") as caught:
                join(first, second)
            assert caught.value.unknown == unknown
        else:
            joined = join(first, second)
            assert joined.label_map == first.label_map
            assert joined.label_map.decode(joined.labels) == names(joined)

    def test_the_sets_stay_as_they_were(self) -> None:
        first, second = shown("ab", "ab"), shown("cb", "cb")
        join(first, second, new_classes=True).images.fill_(0)
        assert (names(first), first.labels.tolist()) == (["a", "b"], [0, 1])
        assert (names(second), second.labels.tolist()) == (["c", "b"], [0, 1])
        assert (first.classes, second.classes) == (("a", "b"), ("c", "b"))

    def test_the_second_set_is_asked_to_where_the_first_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = shown("ab", "ab"), shown("b", "b")
        moved = []

        def note(self: LabelledImages, device: torch.device) -> LabelledImages:
            moved.append((self, device))
            return self

        monkeypatch.setattr(LabelledImages, "to", note)
        join(first, second)
        assert (second, first.device) in moved

    def test_names_and_numbers_are_not_joined(self) -> None:
        numbers = LabelledImages(torch.zeros(1, 1, 2, 2), torch.tensor([0]), [1])
        with pytest.raises(ValueError, match="all strings or all integers; received 'a', 1"):
            join(shown("a", "a"), numbers, new_classes=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestCuda:
    @pytest.mark.parametrize("new_classes", [False, True], ids=["known", "new"])
    @pytest.mark.parametrize(("here", "there"), [("cpu", "cuda"), ("cuda", "cpu")])
    def test_the_result_lives_where_the_first_set_does(
        self, here: str, there: str, new_classes: bool
    ) -> None:
        first, second = shown("ab", "ab").to(here), shown("bca", "bca").to(there)
        if not new_classes:
            second = second.only([*"ab"])
        joined = join(first, second, new_classes=new_classes)
        assert (joined.device.type, joined.labels.device.type) == (here, here)
        assert joined.label_map.decode(joined.labels) == names(joined)
        assert second.device.type == there
