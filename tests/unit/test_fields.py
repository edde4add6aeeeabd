"""What a field may be, in words."""

import pytest

from farebox.web.pages.fields import kind_of

LIST = {"type": "array", "items": {"$ref": "#/$defs/Tree"}}


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        (LIST, "list of any value"),
        ({"anyOf": [LIST, {"type": "string"}]}, "list of any value or text"),
        ({"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}, "object of left"),
    ],
)
def test_a_type_that_is_a_part_of_itself_is_told_once(tree: dict[str, object], told: str) -> None:
    assert kind_of({"$ref": "#/$defs/Tree"}, {"$defs": {"Tree": tree}}) == told
