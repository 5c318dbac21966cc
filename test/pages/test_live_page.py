"""The live page: what it says, who may look, and what a browser makes of it."""

from __future__ import annotations

import http.client
import json
import threading
import time

import pytest
from support.browser import chromium, find_chromium
from support.made_model import MODEL
from test_wire import make_result

from metabev_ros import wire
from metabev_ros.errors import ConfigError, OutputError
from metabev_ros.pages.live import CAMERAS, LiveState
from metabev_ros.pages.server import PageServer, is_called_rightly, is_loopback
from metabev_ros.pages.watch import live_page
from metabev_ros.structures import Modality, SensorKind, SensorReport, SensorState
from metabev_ros.wire import Counters, StatusReport

FRAME = 'base_link'
REPORTS = (
    SensorReport(
        'CAM_FRONT', SensorKind.CAMERA, SensorState.OK, True, None, 40_000_000, 12.0, '', 9, 0
    ),
    SensorReport(
        'LIDAR_TOP',
        SensorKind.LIDAR,
        SensorState.STALE,
        False,
        None,
        None,
        0.0,
        '<b>gone</b>',
        4,
        1,
    ),
)


def status(is_heartbeat: bool, modality=Modality.CAMERA) -> bytes:
    latency = {} if is_heartbeat else {'preprocess': 0.007, 'network': 0.4}
    report = StatusReport(
        1_700_000_000_000_000_000,
        modality,
        REPORTS,
        Counters(outputs=3, dropped_samples=2),
        is_heartbeat=is_heartbeat,
        latency_s=latency,
        latency=0.0 if is_heartbeat else 0.42,
    )
    return wire.encode_status(report, MODEL, FRAME).cdr


def fill(state: LiveState) -> None:
    """Let a node say all that it says of a sample, and beat once."""
    outputs = {m.topic: m.cdr for m in wire.encode_result(make_result(), MODEL, FRAME)}
    state.take(wire.STATUS, status(is_heartbeat=False))
    state.take(wire.DETECTIONS, outputs[wire.DETECTIONS])
    state.take(wire.BEV_MAP, outputs[wire.BEV_MAP])
    state.take(wire.STATUS, status(is_heartbeat=True))


@pytest.fixture
def state():
    return LiveState('/perception')


@pytest.fixture
def server(state):
    server = PageServer(state, live_page('/perception', True), '127.0.0.1', 0, ['car.local'])
    yield server
    server.close()


def ask(server, path='/', method='GET', **headers):
    """(status, headers, content) of a request; `Host` is the right one unless given."""
    address = server.address.removeprefix('http://').rstrip('/')
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {'Host': address, **headers}.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def test_the_state_is_what_the_node_said(state):
    assert state.plain()['status'] is None and state.plain()['is_silent']
    assert state.ground() is None and state.cameras() is None
    fill(state)
    plain = state.plain()
    assert plain['status']['modality'] == 'CAMERA' and plain['output']['latency'] == 420.0
    assert plain['output']['stages'] == {'preprocess': 7.0, 'network': 400.0}
    camera, lidar = plain['status']['sensors']
    assert (camera['state'], camera['age'], camera['rate']) == ('OK', 40.0, 12.0)
    assert (lidar['state'], lidar['age'], lidar['reason']) == ('STALE', None, '<b>gone</b>')
    assert [sensor['used'] for sensor in plain['status']['sensors']] == [True, False]
    assert plain['rates'] == {'bev_map': 0.2, 'detections': 0.2, 'heartbeats': 0.2, 'status': 0.2}
    assert plain['dropped'] == 2 and not plain['is_silent'] and plain['refused'] == {}


def test_the_ground_is_drawn_once_for_all_who_look(state, monkeypatch):
    fill(state)
    first = state.ground()
    assert first is not None and first[:2] == b'\xff\xd8'
    monkeypatch.setattr('metabev_ros.pages.live.draw_frame', None)  # to draw again would raise
    assert state.ground() is first


def test_bytes_that_are_no_message_are_counted_and_end_nothing(state):
    fill(state)
    for topic in (wire.STATUS, wire.DETECTIONS, wire.BEV_MAP, *CAMERAS):
        for cdr in (b'', b'\x00\x01\x00\x00', b'\xff' * 40):
            state.take(topic, cdr)
    assert state.ground()[:2] == b'\xff\xd8' and state.cameras() is None
    assert sum(state.plain()['refused'].values()) >= 3
    json.dumps(state.plain(), allow_nan=False)


def test_a_node_that_falls_silent_is_called_silent(state, monkeypatch):
    fill(state)
    later = time.monotonic() + 3.0
    monkeypatch.setattr('metabev_ros.pages.live.time.monotonic', lambda: later)
    assert state.plain()['is_silent'] and state.plain()['silence'] == pytest.approx(3.0, abs=0.5)


def test_only_who_names_this_machine_rightly_is_answered(server, state):
    fill(state)
    port = server.address.rstrip('/').rpartition(':')[2]
    for host, origin, expected in (
        (f'127.0.0.1:{port}', None, 200),
        (f'localhost:{port}', None, 200),
        (f'car.local:{port}', f'http://car.local:{port}', 200),
        (f'evil.example:{port}', None, 403),  # a name that was made to lead here
        ('127.0.0.1.evil.example', None, 403),
        (f'127.0.0.1:{port}', 'http://evil.example', 403),
        (f'127.0.0.1:{port}', 'null', 403),
        (f'127.0.0.1:{port}', f'https://127.0.0.1:{port}', 403),
        ('', None, 403),
        (None, None, 403),
    ):
        for path in ('/', '/state', '/events', '/ground.jpg', '/cameras.jpg'):
            if path == '/events' and expected == 200:
                continue  # has no end
            found = ask(server, path, Host=host, Origin=origin)[0]
            asked = 404 if path == '/cameras.jpg' and expected == 200 else expected
            assert found == asked, (host, origin, path)


def test_a_name_with_odd_brackets_is_no_address():
    assert not is_called_rightly('[::1', None, ())
    assert is_called_rightly('[::1]:80', None, ())
    assert is_called_rightly('10.0.0.7:8077', 'http://10.0.0.7:8077', ())


@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD'])
def test_the_server_only_reads(server, method):
    assert ask(server, '/', method)[0] == 501


def test_nothing_beside_the_page_is_served(server):
    for path in ('/../etc/passwd', '//etc/passwd', '/state/..', '/%2e%2e/', '/favicon.ico'):
        assert ask(server, path)[0] == 404


def test_the_page_may_load_only_from_its_server(server):
    _, headers, content = ask(server)
    assert "default-src 'none'" in headers['Content-Security-Policy']
    assert headers['X-Frame-Options'] == 'DENY' and headers['Cache-Control'] == 'no-store'
    assert b'http' not in content.replace(b'http-equiv', b'')


def test_more_viewers_than_there_is_room_for_are_turned_away_and_the_others_served(server):
    waiting = []
    for _ in range(12):
        connection = http.client.HTTPConnection(server.address[7:-1], timeout=10)
        connection.request('GET', '/events')
        answer = connection.getresponse()
        assert answer.readline().startswith(b'data: ')
        waiting.append((connection, answer))
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(server)
    first = waiting[0][1]
    first.readline()
    assert first.readline().startswith(b'data: ')
    for connection, answer in waiting:
        answer.close()
        connection.close()


def test_a_port_that_is_taken_is_named(server, state):
    port = int(server.address.rstrip('/').rpartition(':')[2])
    with pytest.raises(OutputError, match='--port'):
        PageServer(state, '', '127.0.0.1', port)
    with pytest.raises(ConfigError, match='65535'):
        PageServer(state, '', '127.0.0.1', 70_000)


def test_only_loopback_addresses_are_of_this_machine_alone():
    assert is_loopback('127.0.0.1') and is_loopback('::1') and is_loopback('localhost')
    assert not is_loopback('0.0.0.0') and not is_loopback('car.local')


@pytest.mark.skipif(
    find_chromium() is None, reason='no chromium on PATH and none in METABEV_CHROMIUM'
)
def test_a_browser_follows_the_node(server, state):
    stop = threading.Event()

    def speak() -> None:
        while not stop.wait(0.1):
            fill(state)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        with chromium(find_chromium()) as tab:
            for width in (1300, 400):
                tab.open(server.address, width)
                tab.wait_for('Number(document.documentElement.dataset.states) > 3')
                tab.wait_for("document.getElementById('ground').naturalWidth === 640")
                text = tab.value('document.body.innerText')
                assert 'The node is alive.' in text and 'LIDAR_TOP' in text and '420 ms' in text
                assert '<b>gone</b>' in text, 'text of a message is text, not HTML'
                assert tab.value('document.documentElement.scrollWidth') <= width
            stop.set()
            speaker.join()
            tab.wait_for("document.body.innerText.includes('SILENT')")
            assert tab.complaints == []
            assert all(address.startswith(server.address) for address in tab.requests)
    finally:
        stop.set()
        speaker.join()
