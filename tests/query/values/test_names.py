from footage.query.values.names import describe_unknown


def test_the_first_unknown_name_is_described_with_the_known_ones():
    message = describe_unknown("camera", ["yard", "roof", "shed"], {"yard", "gate"})
    assert message == "there is no camera 'roof'; there are: gate, yard"


def test_nothing_is_described_when_every_name_is_known():
    assert describe_unknown("camera", ["yard"], ["yard", "gate"]) == ""
    assert describe_unknown("camera", [], []) == ""


def test_the_message_names_the_place_and_says_none_without_known_names():
    assert describe_unknown("camera", ["x"], [], "in the settings") == (
        "there is no camera 'x' in the settings; there are: none"
    )
