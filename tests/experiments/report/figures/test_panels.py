"""Which line stands for which label."""

from __future__ import annotations

from experiments.report.figures.panels import line_styles


def test_a_kind_has_its_own_line_whatever_the_label_and_the_others():
    alone = line_styles({"ours": "alsals"})["ours"]
    among = line_styles({"adam": "adam", "sgd": "sgd", "a": "alsals"})["a"]
    assert alone == among


def test_a_label_that_is_a_kinds_name_has_its_line_wherever_it_stands():
    first = line_styles({"alsals": "alsals", "alsals adaptive": "alsals"})
    last = line_styles({"alsals_paper": "alsals", "alsals adaptive": "alsals", "alsals": "alsals"})
    assert last["alsals"] == first["alsals"]
    assert len({(style.colour, style.dashes) for style in last.values()}) == 3


def test_alsals_is_the_widest_and_above_all_others():
    kinds = ("adam", "adamw", "sgd", "adam_sls", "salsa", "sls", "peak_sls", "prodigy", "unknown")
    styles = line_styles({"alsals": "alsals", **{kind: kind for kind in kinds}})
    first = styles.pop("alsals")
    assert first.width > max(style.width for style in styles.values())
    assert first.order > max(style.order for style in styles.values())


def test_adam_is_grey():
    colour = line_styles({"adam": "adam"})["adam"].colour
    assert colour[1:3] == colour[3:5] == colour[5:7]


def test_no_two_of_many_labels_look_alike():
    ours = ("adam", "adamw", "sgd", "alsals", "adam_sls", "salsa", "sls", "peak_sls")
    peers = ("nadamw", "prodigy", "dadapt_adam", "momo_adam", "schedulefree_adamw")
    labels = {kind: kind for kind in ours + peers} | {f"other{n}": "alsals" for n in range(12)}
    looks = [(style.colour, style.dashes) for style in line_styles(labels).values()]
    assert len(set(looks)) == 25


def test_there_is_a_line_for_each_of_a_hundred_labels():
    assert len(line_styles({str(n): "plasls" for n in range(100)})) == 100
