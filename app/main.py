"""Puts the service together. The only module that knows all others; nothing imports it but the commands."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from app import canceling
from app.addresses import Allowed
from app.adopting import Adopter
from app.api import (
    backends,
    batches,
    events,
    generations,
    health,
    layers,
    openapi,
    outputs,
    pages,
    projects,
    templates,
    uploads,
    webhooks,
)
from app.api import errors as api_errors
from app.api.dependencies import Services
from app.api.dialects import channels, openai_images, openai_models, sessions
from app.api.links import Links
from app.api.streams import StreamHub
from app.api.v2 import routes as v2
from app.api.webhook_wire import WebhookBodies
from app.api.wire import EventEncoder
from app.assets import Assets
from app.authoring import Authoring
from app.backends import Backend, BackendPool, open_pool
from app.batch_keeping import BatchKeeper
from app.batch_preparing import BatchPreparer
from app.batches import Batches
from app.bus import BusUnavailable, MemoryEventBus
from app.catalogue import Catalogue
from app.comfyui.templates import Template, load_builtin
from app.conversions import Conversions
from app.db.asset_shelf import AssetShelf
from app.db.batch_shelf import BatchShelf
from app.db.engine import Database
from app.db.errors import DatabaseUnavailable
from app.db.gauge_shelf import GaugeShelf
from app.db.migration import migrate
from app.db.outbox import Outbox
from app.db.project_shelf import ProjectShelf
from app.db.repository import Repository
from app.db.template_shelf import TemplateShelf
from app.db.timing_shelf import TimingShelf
from app.db.upload_shelf import UploadShelf
from app.dispatching import Dispatcher
from app.expiring import Expirer
from app.fetching import Fetcher
from app.figures import Figures
from app.finishing import Finisher
from app.generations import Generations
from app.health import Health
from app.learning import Learner
from app.lifecycle import Limits
from app.offers import Offers
from app.opening import open_storage
from app.origins import Origins
from app.placing import Placer
from app.posters import Posters
from app.preparing import Preparer
from app.projects import Projects
from app.reconciling import Reconciler
from app.screening import Screening
from app.settings import Settings
from app.single_use import SingleUse
from app.starting import open_bus, patiently
from app.storage import Storage
from app.supervision import background
from app.tracking import Tracker
from app.uploads import Uploads
from app.webhook_opening import open_webhooks, outbox_of

if TYPE_CHECKING:
    from app.redis_bus import RedisEventBus

DESCRIPTION: Final = """A durable queue, live progress and kept images in front of ComfyUI.

Start a generation with `POST /api/generate`, follow it with `GET /api/generations/{id}/events`, and take the images
from the URLs in its record. Errors are RFC 9457 problem documents."""


def create_app(settings: Settings) -> FastAPI:
    """The application. Nothing is opened before its lifespan starts; `app.state.services` exists from then on."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.services = await _open(stack, settings, links, builtin)
            yield

    builtin = load_builtin()
    keys = [key.get_secret_value() for key in settings.api_keys]
    links = Links(keys, settings.url_ttl_s)
    app = FastAPI(
        title="comfy-relay",
        version=version("comfy-relay"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    for module in (*RESOURCES, *DIALECTS):
        app.include_router(module.router)
    app.include_router(pages.routes(pages.load()))
    app.openapi = lambda: openapi.document(app, builtin, wants_key=bool(keys))  # type: ignore[method-assign]
    api_errors.install(app, {DatabaseUnavailable: "database", BusUnavailable: "event bus"})
    layers.install(app, settings, keys, links)
    return app


RESOURCES: Final = (generations, events, outputs, uploads, templates, backends, projects, batches, webhooks, health)
DIALECTS: Final = (sessions, channels, openai_images, openai_models, v2)

SETTLE_S: Final = 1.0
"""How long a start waits for the first server to be heard; one that is switched off is no reason not to start."""


@dataclass(frozen=True, slots=True)
class _Engine:
    """The parts that do the work, whoever asks for it."""

    database: Database
    repository: Repository
    outbox: Outbox
    bus: MemoryEventBus | RedisEventBus
    storage: Storage
    learner: Learner
    tracker: Tracker
    pool: BackendPool
    dispatcher: Dispatcher
    adopter: Adopter
    reconciler: Reconciler


async def _open(stack: AsyncExitStack, settings: Settings, links: Links, builtin: Mapping[str, Template]) -> Services:
    """Open everything in the order in which it depends on each other, and run what runs all the time."""
    engine, hub = await _engine(stack, settings), StreamHub(settings.ping_interval_s)
    await _run(stack, engine, hub)
    intake, offers = _intake(stack, engine, settings), Offers(engine.pool)
    bodies = WebhookBodies(links, settings.public_url)
    notices = await open_webhooks(stack, engine.database, engine.outbox, settings, bodies.of)
    catalogue = Catalogue(builtin, TemplateShelf(engine.database))
    projects = Projects(ProjectShelf(engine.database), engine.tracker.spawn)
    use_cases = Generations(
        repository=engine.repository,
        bus=engine.bus,
        pool=engine.pool,
        tracker=engine.tracker,
        dispatcher=engine.dispatcher,
        adopter=engine.adopter,
        storage=engine.storage,
        preparer=Preparer(catalogue, offers, intake, notices.receivers),
        projects=projects,
        learner=engine.learner,
        max_pending=settings.max_pending,
        accept_when_down=settings.accept_when_down,
        submit_wait_s=settings.submit_wait_s,
    )
    batch_preparer = partial(BatchPreparer, catalogue, offers, intake, notices.receivers)
    batches = _batches(engine, use_cases, settings, batch_preparer, projects)
    await stack.enter_async_context(background(batches=batches.run()))
    conversions = Conversions(settings.data_dir / "cache", max_bytes=settings.cache_bytes)
    stack.push_async_callback(conversions.aclose)
    figures = Figures(GaugeShelf(engine.database).read, engine.repository.ended, notices.ended)
    state = Health(engine.database, engine.storage, engine.bus, engine.pool, engine.tracker, figures)
    authoring, encoder = Authoring(catalogue, offers), EventEncoder(links)
    used = (settings, use_cases, batches, intake, authoring, offers, projects, notices)
    assets = Assets(AssetShelf(engine.database), intake, engine.repository, engine.storage)
    once = SingleUse(use_cases, engine.repository)
    return Services(*used, conversions, state, links, encoder, hub, assets, once)


def _batches(
    engine: _Engine,
    generations: Generations,
    settings: Settings,
    preparer: Callable[[], BatchPreparer],
    projects: Projects,
) -> Batches:
    """The use cases of batches, wired to the queue: each tells the other when there is something to do."""
    shelf, dispatcher = BatchShelf(engine.database, engine.outbox), engine.dispatcher
    keeper = BatchKeeper(shelf, generations.cancel, dispatcher.backlog)
    dispatcher.on_dry = keeper.on_dry
    return Batches(
        shelf,
        engine.repository,
        keeper,
        preparer,
        storage=engine.storage,
        projects=projects,
        tracker=engine.tracker,
        pool=engine.pool,
        learner=engine.learner,
        max_waiting=settings.max_batch_waiting,
        accept_when_down=settings.accept_when_down,
    )


def _intake(stack: AsyncExitStack, engine: _Engine, settings: Settings) -> Uploads:
    """What takes files in, with its threads."""
    allowed = Allowed.of(settings.fetch_allow)
    fetcher = Fetcher(allowed, timeout_s=settings.fetch_timeout_s, max_bytes=settings.max_upload_bytes)
    screening = Screening(settings.max_upload_pixels)
    stack.callback(fetcher.close)
    stack.callback(screening.close)
    shelf = UploadShelf(engine.database)
    return Uploads(engine.storage, shelf, engine.repository, fetcher, screening, max_bytes=settings.max_upload_bytes)


async def _engine(stack: AsyncExitStack, settings: Settings) -> _Engine:
    url = settings.database_url.get_secret_value()
    await patiently(lambda: asyncio.to_thread(migrate, url))
    database = await stack.enter_async_context(Database(url, timeout_s=settings.database_timeout_s))
    outbox = outbox_of(database, settings)
    await patiently(outbox.refresh)
    repository = await stack.enter_async_context(Repository(database, outbox=outbox))
    bus = open_bus(settings)
    stack.push_async_callback(bus.aclose)
    origins = Origins(keeps_metadata=settings.keep_metadata)
    storage = open_storage(settings, origins.open)
    await storage.sweep()
    posters = Posters.found(settings.ffmpeg)
    finisher = Finisher(
        storage, settings.keep_timeout_s, settings.max_output_bytes, posters, keeps_metadata=settings.keep_metadata
    )
    limits = Limits(settings.max_attempts, settings.lost_grace_s)
    learner = Learner(TimingShelf(database))
    tracker = Tracker(repository, bus, finisher, limits, learner, stuck_after_s=settings.stuck_after_s)
    pool = await stack.enter_async_context(open_pool(settings, tracker.on_message, tracker.speaks_to))
    origins.pool = pool
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    dispatcher = Dispatcher(repository, pool, tracker, owner, placer=Placer(storage))
    adopter = Adopter(repository, pool, tracker, owner=owner, is_alone=settings.redis_url is None)
    expirer = Expirer(repository, tracker, stall_timeout_s=settings.stall_timeout_s)
    reconciler = Reconciler(
        pool,
        tracker,
        expirer,
        silence_s=settings.silence_s,
        poll_interval_s=settings.poll_interval_s,
        away_timeout_s=settings.away_timeout_s,
    )
    return _Engine(database, repository, outbox, bus, storage, learner, tracker, pool, dispatcher, adopter, reconciler)


async def _run(stack: AsyncExitStack, engine: _Engine, hub: StreamHub) -> None:
    """Connect the parts that wake each other, and run their loops until the stack is closed."""
    tracker, dispatcher, reconciler = engine.tracker, engine.dispatcher, engine.reconciler

    def up(backend: Backend) -> None:
        if backend.given_up:
            tracker.spawn(canceling.clear(backend), f"clear {backend.name}")
        dispatcher.wake()
        reconciler.wake()

    def gap(backend: Backend) -> None:
        tracker.ask_about(backend)
        reconciler.wake()

    engine.pool.on_up, engine.pool.on_gap = up, gap
    tracker.on_freed, tracker.on_pending = dispatcher.wake, dispatcher.backlog
    loops = {"track": tracker.run(), "learn": engine.learner.run(), "listen": engine.pool.run(), "streams": hub.run()}
    if not isinstance(engine.bus, MemoryEventBus):
        loops["bus"] = engine.bus.run()
    await stack.enter_async_context(background(**loops))
    await tracker.wait_started()
    if isinstance(engine.bus, MemoryEventBus):  # Other replicas may have other servers.
        await patiently(lambda: engine.repository.release([backend.name for backend in engine.pool.all]))
    await patiently(engine.adopter.adopt_all)
    await patiently(dispatcher.look)
    await engine.pool.settle(SETTLE_S)
    later = background(dispatch=dispatcher.run(), reconcile=reconciler.run(), adopt=engine.adopter.run())
    await stack.enter_async_context(later)
