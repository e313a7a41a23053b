"""Which code covers which anchor: the checks D1 to D28, and M1 to M18 that other tools have."""

from __future__ import annotations

import pytest

from companion.doctor import CHECKS

ANCHORS = {
    "D1 output width against declared classes": ["MOD018"],
    "D2 modules that are never called": ["MOD003"],
    "D3 attributes against the shapes of weights": ["MOD004"],
    "D4 requires_grad as a plain attribute": ["MOD005"],
    "D5 optimiser against trainable parameters": ["OPT001", "OPT002"],
    "D6 BatchNorm under frozen parameters": ["MOD006", "MOD007", "MOD008"],
    "D7 head unchanged after a step": ["OPT003"],
    "D8 checkpoint against the model": ["MOD017", "MOD019"],
    "D9 census of labels": ["LBL001", "LBL002", "LBL007", "LBL009", "LBL011", "SMP120"],
    "D10 class_to_idx of the parts": ["LBL003", "LBL004"],
    "D11 stored labels against items": ["LBL008"],
    "D12 permutation rescue": ["LBL020"],
    "D13 permutations that have names": ["LBL006", "LBL019"],
    "D14 one index for several names": ["LBL005", "LBL017"],
    "D15 classes judged and never trained": ["LBL010"],
    "D16 candidate sets": ["PRO031"],
    "D17 outputs that are probabilities": ["MOD013"],
    "D18 swapped or misshapen arguments": ["LBL001", "SMP111", "SMP112", "SMP113", "SMP115"],
    "D19 initial loss, one batch learnt": ["SMP116", "SMP118"],
    "D20 what the sampler draws": [f"SMP10{n}" for n in (1, 2, 3, 4, 6, 7, 8)],
    "D21 double correction": ["SMP105", "SMP117"],
    "D22 averages of one prediction": ["PRO030", "PRO008"],
    "D23 overlap of the parts": ["PRO002", "PRO003", "PRO004"],
    "D24 evaluation repeats itself": ["MOD014", "PRO005"],
    "D25 the simulated schedule": [f"OPT10{n}" for n in range(1, 10)] + ["OPT110", "OPT111"],
    "D26 the learning rate probed": ["OPT007"],
    "D27 preprocessing against the model": ["MOD015"],
    "D28 suspects among the labels": ["LBL016"],
    "M1 finite sweep": ["MOD009"],
    "M2 order of the loop": ["OPT112"],
    "M3 sign of loss and step": ["SMP113", "OPT006"],
    "M4 sum or mean": ["SMP114"],
    "M5 labels linked to inputs": ["LBL014", "LBL015"],
    "M6 better than a guess": ["PRO032"],
    "M7 shuffling": ["SMP109"],
    "M8 preprocessing of training and evaluation": ["MOD016"],
    "M9 training mode and evaluation mode": ["PRO033"],
    "M10 twin units": ["MOD010"],
    "M11 affine networks": ["MOD011"],
    "M12 dead units": ["MOD012"],
    "M13 loss and metric disagree": ["PRO035", "OPT104"],
    "M14 better on held-out images": ["PRO034", "PRO006"],
    "M15 augmentation that destroys": ["PRO037"],
    "M16 frozen stays": ["OPT004"],
    "M17 shortcuts": ["PRO036", "PRO021"],
    "M18 against a run that works": ["PRO040"],
}


@pytest.mark.parametrize("anchor", ANCHORS)
def test_an_anchor_is_covered(anchor: str) -> None:
    assert ANCHORS[anchor]
    assert [code for code in ANCHORS[anchor] if code not in CHECKS] == []


def test_the_list_is_whole() -> None:
    named = [anchor.split()[0] for anchor in ANCHORS]
    assert named == [f"D{n}" for n in range(1, 29)] + [f"M{n}" for n in range(1, 19)]
