"""The pages for people, one file a page or a group of them. A founder's own routes come before all of these."""

from fastapi import FastAPI
from starlette.types import ASGIApp

from farebox.web.pages import dev_mail, join, landing, log_in, overview
from farebox.web.pages.frame import Frame, add_errors
from farebox.web.pages.guard import Guard
from farebox.web.pages.told import add_person_errors
from farebox.web.site import Site


def pages(site: Site) -> ASGIApp:
    """All pages of a site, guarded."""
    frame = Frame(site)
    app = FastAPI(title=site.product.name, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.site = site
    parts = [frame.assets.routes(), *(part.routes(frame) for part in (landing, join, log_in, overview))]
    if site.mailbox is not None:
        parts.append(dev_mail.routes(frame, site.mailbox))
    for router in parts:
        app.include_router(router)
    add_errors(app, frame)
    add_person_errors(app, frame)
    return Guard(app, frame.error, site.public_url)
