"""A founder finds out before the first customer does that a function's hold has room for no picture."""

from farebox import Call, Farebox, File, settings
from farebox.cli import doctor


def test_a_function_whose_hold_has_no_room_for_its_picture_is_told() -> None:
    app = Farebox("Alt")

    async def alt(call: Call, image: File) -> str:
        """Describe a picture."""
        url = {"url": f"data:{image.content_type};base64,{image.text()}"}
        return await call.ask([{"role": "user", "content": [{"type": "image_url", "image_url": url}]}])

    app.paid(alt)
    told = (
        "alt has a picture in its question, which counts for 50,000 tokens, and max_input_tokens=32_000 has room for "
        "none; write @app.paid(max_input_tokens=60_000)"
    )
    handler = app.handlers.pop("alt")
    assert handler.picture_lacks_room == told
    [finding] = doctor._room(settings.load(None), app.product, [handler])
    assert str(finding) == f"note plans: {told}"
    app.paid(max_input_tokens=60_000)(alt)
    assert app.handlers["alt"].picture_lacks_room is None

    @app.paid
    async def read(call: Call, image: File) -> str:
        """Read a text."""
        return await call.ask(image.text())

    assert app.handlers["read"].picture_lacks_room is None
