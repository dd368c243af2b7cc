"""Pages in a real browser: one headless Chromium for each test process, a fresh page for each test.

Tests of this folder run on one loop, the browser's. They ask for

    site                what serves pages: `run = await site.begin()` is a run that does as the test says
    page                a page of Playwright's in light colours, 1280 by 800
    open_page(...)      another one: `open_page(color_scheme="dark", width=390, height=844)`
    log                 a page with nothing but the view of a log
    shoot(page, name)   keeps a picture in build/screenshots
    troubles            what pages complained about: errors, exceptions, violations of the policy; the test fails unless
                        it has taken out what it expected
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from .logview_support import LogPage, LogSite
from .site_support import Site

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

FOLDER = Path(__file__).parent
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb"]
PATIENCE_MS = 20_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is in this folder on the loop of the whole session."""
    mark = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        test = getattr(item, "obj", None)
        test = getattr(getattr(test, "hypothesis", None), "inner_test", test)
        if FOLDER in item.path.parents and inspect.iscoroutinefunction(test):
            item.add_marker(mark, append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(need: Callable[..., str]) -> AsyncIterator[Browser]:
    """The browser of this process."""
    program = need("chromium")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
def troubles() -> list[str]:
    """What the pages of this test complained about."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, troubles: list[str]) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """`await open_page(color_scheme=..., width=..., height=...)`: other arguments are those of a Playwright context."""
    contexts = []

    def note(trouble: str) -> None:
        troubles.append(trouble)

    async def open_one(
        *, color_scheme: Any = "light", width: int = 1280, height: int = 800, **options: Any
    ) -> Page:
        context = await browser.new_context(
            color_scheme=color_scheme, viewport={"width": width, "height": height}, **options
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("pageerror", lambda error: note(f"exception: {error}"))
        page.on("console", lambda told: note(f"console: {told.text}") if told.type == "error" else None)
        return page

    yield open_one
    for context in contexts:
        await context.close()
    assert troubles == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(open_page: Callable[..., Awaitable[Page]]) -> Page:
    """A page as wide as a laptop's window."""
    return await open_page()


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Pages that are served, and runs to show on them; all runs are ended with the test."""
    async with Site(tmp_path) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def log_site() -> AsyncIterator[LogSite]:
    """Serves the page with nothing but the view of a log."""
    async with LogSite() as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def log(page: Page, log_site: LogSite) -> LogPage:
    """That page, open in the browser."""
    await page.goto(log_site.url)
    return LogPage(page, log_site)


@pytest.fixture
def shoot(root: Path) -> Callable[..., Awaitable[Path]]:
    """`await shoot(page, "run-dark")`: keeps a picture of the page as test output; `full_page=True` of all of it."""
    folder = root / "build" / "screenshots"

    async def take(page: Page, name: str, **options: Any) -> Path:
        file = folder / f"{name}.png"
        await page.screenshot(path=file, **options)
        return file

    return take
