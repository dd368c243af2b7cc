"""What `livelog` serves is what a browser takes it for: parts that go on, and events that come to an end."""

import asyncio

from aiohttp import web

from stagecall.lifecycle.log import TaskLog
from stagecall.plugins.livelog.serving import LogHandler
from stagecall.worker.webhooks import WebHookServer

RESUMED = """async url => {
    const response = await fetch(url, {headers: {Range: "bytes=4-"}});
    const reader = response.body.getReader(), decoder = new TextDecoder();
    const first = decoder.decode((await reader.read()).value);
    await fetch("go-on");
    let rest = "";
    for (let piece; !(piece = await reader.read()).done;) rest += decoder.decode(piece.value);
    return [response.status, response.headers.get("X-Streaming"), first, rest];
}"""
FOLLOWED = """url => new Promise(resolve => {
    const source = new EventSource(url + "events"), told = [];
    source.onmessage = event => told.push([event.lastEventId, JSON.parse(event.data)]);
    source.addEventListener("end", event => told.push(JSON.parse(event.data)));
    source.onerror = () => source.readyState === EventSource.CLOSED && resolve(told);
})"""


async def test_browser_follows_a_log_from_where_it_was(page, tmp_path):
    """A page of another origin's address gets the rest as it comes; its events end, and it does not come back."""
    log = TaskLog(lambda: tmp_path / "task.log")
    log.write(b"0123456789\n")

    async def on_the_page(request):
        if request.path == "/go-on":
            log.write("€ more\n".encode())
            log.close()
        return web.Response(text='<link rel="icon" href="data:,">', content_type="text/html")

    async with WebHookServer() as hooks, WebHookServer() as pages:
        hook = await hooks.attach(LogHandler(log.view))
        await page.goto((await pages.attach(on_the_page)).url)
        async with asyncio.timeout(30):
            resumed = await page.evaluate(RESUMED, hook.url)
            followed = await page.evaluate(FOLLOWED, hook.url)
        log.dispose()

    assert resumed == [206, "true", "456789\n", "€ more\n"]
    assert followed == [["20", "0123456789\n€ more\n"], {"bytes": 20}]
