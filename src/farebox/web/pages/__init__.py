"""The pages for people, one file a page or a group of them. A founder's own routes come before all of these."""

from fastapi import FastAPI
from starlette.types import ASGIApp

from farebox.web.founder_pages import HOME, founder_pages
from farebox.web.pages import (
    activity,
    again,
    buying,
    calls,
    credit,
    delete,
    dev_mail,
    docs,
    export,
    goodbye,
    invoices,
    join,
    keys,
    landing,
    log_in,
    other_services,
    overview,
    passkeys,
    plan,
    playground,
    robots,
    second_step,
    security,
    session_list,
    settings,
    team,
    texts,
    usage,
)
from farebox.web.pages.another_account import add_another_account
from farebox.web.pages.frame import Frame, add_errors
from farebox.web.pages.guard import Guard
from farebox.web.pages.told import add_person_errors
from farebox.web.site import Site


def pages(site: Site) -> ASGIApp:
    """All pages of a site, guarded."""
    files = founder_pages(site.folder)
    frame = Frame(site, files)
    found = ("/", "/pricing", "/docs", "/terms", "/privacy", *(f"/{name}" for name in files if name != HOME))
    app = FastAPI(title=site.product.name, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.site = site
    routers = [
        frame.assets.routes(),
        texts.founders(frame, files),
        landing.routes(frame),
        texts.legal(frame),
        docs.routes(frame),
        robots.routes(frame, tuple(dict.fromkeys(found))),
        *(part.routes(frame) for part in (join, log_in, second_step, other_services)),
        *(part.routes(frame) for part in (overview, usage, calls, keys, playground)),
        *(part.routes(frame) for part in (settings, security, passkeys, session_list, again)),
        *(part.routes(frame) for part in (team, plan, buying, credit, invoices, export, activity, delete, goodbye)),
    ]
    if site.mailbox is not None:
        routers.append(dev_mail.routes(frame, site.mailbox))
    for router in routers:
        app.include_router(router)
    add_errors(app, frame)
    add_person_errors(app, frame)
    add_another_account(app, frame)
    return Guard(app, frame.error, site.public_url)
