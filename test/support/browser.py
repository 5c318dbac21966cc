"""A headless Chromium for tests of pages, driven through the Chrome DevTools Protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

START_S, ANSWER_S = 60.0, 60.0  # seconds; the machine may be busy
NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
OPTIONS = (
    '--headless=new',
    '--no-sandbox',  # tests may run as root
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--disable-background-networking',
    '--disable-component-update',
    '--no-first-run',
    '--autoplay-policy=no-user-gesture-required',
    '--remote-debugging-port=0',
    '--remote-allow-origins=*',
)


def find_chromium() -> str | None:
    """The program in METABEV_CHROMIUM, else the first on PATH."""
    named = os.environ.get('METABEV_CHROMIUM')
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """A page of the browser.

    Attributes:
        complaints: exceptions, console errors and requests that were refused, in words.
        requests: addresses that the page asked for, `data:` ones left out.
    """

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=ANSWER_S)
        self._count = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        self._socket.send(json.dumps({'id': self._count, 'method': method, 'params': parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get('id') == self._count:
                assert 'error' not in message, message['error']
                return message['result']
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        method, params = message.get('method'), message.get('params', {})
        if method == 'Runtime.exceptionThrown':
            details = params['exceptionDetails']
            self.complaints.append(details.get('exception', details).get('description', 'error'))
        elif method == 'Runtime.consoleAPICalled' and params['type'] in ('error', 'assert'):
            self.complaints.append(str([a.get('value') for a in params['args']]))
        elif method == 'Log.entryAdded' and params['entry']['level'] == 'error':
            self.complaints.append(params['entry']['text'])
        elif method == 'Network.requestWillBeSent':
            address = params['request']['url']
            self.requests += [] if address.startswith(('data:', 'blob:')) else [address]

    def open(self, address: str, width: int, height: int = 900) -> None:
        """Show a page as wide as this, and wait until it has loaded."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call('Page.navigate', url=address)
        self.wait_for("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = self.call(
            'Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True
        )
        assert 'exceptionDetails' not in answer, answer['exceptionDetails']
        return answer['result'].get('value')

    def wait_for(self, expression: str, seconds: float = 30.0) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, f'not true within {seconds:g} s: {expression}'
            time.sleep(0.05)

    def click(self, x: float, y: float) -> None:
        """Press and release the left button at a place of the window."""
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

    def picture(self, path: Path, whole: bool = False) -> None:
        """A screenshot as a .png file."""
        shot = self.call('Page.captureScreenshot', captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot['data']))


@contextmanager
def chromium(program: str) -> Iterator[Tab]:
    """Start a browser with one tab; it ends with the block, its profile with it."""
    with tempfile.TemporaryDirectory(prefix='metabev_chromium_') as profile:
        words = [program, *OPTIONS, f'--user-data-dir={profile}', 'about:blank']
        with open(Path(profile) / 'log', 'wb') as log:
            process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            tab = Tab(_tab_address(Path(profile), process))
            yield tab
            tab.call('Browser.close')
        finally:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _tab_address(profile: Path, process: subprocess.Popen) -> str:
    """The address at which the tab listens."""
    import urllib.request

    end, file = time.monotonic() + START_S, profile / 'DevToolsActivePort'
    while time.monotonic() < end:
        assert process.poll() is None, (profile / 'log').read_text(errors='replace')[-2000:]
        lines = file.read_text().split() if file.is_file() else []
        if len(lines) == 2:
            listing = f'http://127.0.0.1:{lines[0]}/json/list'
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(listing, timeout=ANSWER_S) as answer:
                tabs = [tab for tab in json.load(answer) if tab['type'] == 'page']
            if tabs:
                return tabs[0]['webSocketDebuggerUrl']
        time.sleep(0.1)
    raise AssertionError('the browser did not start: ' + (profile / 'log').read_text()[-2000:])
