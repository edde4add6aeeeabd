"""The code that a page shows for a call, whatever a customer has put into its form."""

import json

from farebox.web.pages.offers import Offer
from farebox.web.pages.snippets import KEY, javascript

FILE = {"type": "object", "properties": {"document": {"type": "string", "format": "binary"}}}
SIZED = Offer("sized", "/v1/sized", "", "", "", False, True, FILE, {}, "", True)  # noqa: FBT003  # a row


def test_a_name_of_a_file_is_a_text_of_javascript_whatever_is_in_it() -> None:
    name = 'the "best" \\ of.txt'
    code = javascript(SIZED, "https://example.com/v1/sized", KEY, {"document": name})
    assert f'new File(["…"], {json.dumps(name)})' in code
