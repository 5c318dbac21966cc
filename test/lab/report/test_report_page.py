"""The page of a run: what it says of a small drive, and what a browser makes of it."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from support import rig_messages
from support.browser import chromium, find_chromium
from support.rig_messages import CAMERAS, LIDAR

from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import SensingConfig, save_config
from metabev_ros.contract import load_contract
from metabev_ros.lab.report.moments import worst_moments
from metabev_ros.lab.report.recording import film_rate, read_recording
from metabev_ros.lab.report.run import ReportConfig, write_report
from metabev_ros.replay.run import replay_bag
from metabev_ros.resources import DEFAULT_MODEL, resource_path

TICKS = 8


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A drive in which the cameras die after two ticks and come back, and its outputs."""
    folder = tmp_path_factory.mktemp('report')

    def skip(sensor, tick):
        return sensor in CAMERAS and 2 <= tick < 5 or sensor == LIDAR and tick >= TICKS - 2

    with BagWriter(folder / 'in.mcap') as writer:
        rig_messages.write_drive(writer, TICKS, skip=skip, with_odometry=True)
    model, rig = resource_path(DEFAULT_MODEL), rig_messages.rig()
    save_config(rig, folder / 'rig.yaml')
    for name, deadline in (('out', 0.1), ('other', 0.05)):
        sensing = SensingConfig(deadline=deadline)
        bag = folder / f'{name}.mcap'
        replay_bag(folder / 'in.mcap', bag, model, rig, sensing, threads=1)
    return folder


@pytest.fixture(scope='module')
def pages(folder):
    """The pages of one run and of both."""
    config, rig = load_contract(resource_path(DEFAULT_MODEL)).config, rig_messages.rig()
    out, other = folder / 'out.mcap', folder / 'other.mcap'
    tell = []
    one = ReportConfig(out, folder / 'one.html', rig, config, workers=1)
    write_report(one, lambda *step: tell.append(step))
    both = ReportConfig(out, folder / 'both.html', rig, config, other, workers=1)
    write_report(both, lambda *step: None)
    assert tell[-1][1] == tell[-1][2] > 0
    return folder


def marked_up(path):
    return re.sub(r'<script.*?</script>', '', path.read_text(), flags=re.DOTALL)


def test_the_film_comes_first_and_the_page_has_everything_inside(pages):
    text = marked_up(pages / 'one.html')
    places = [
        text.index(part) for part in ('<video', '>Timeline<', '>Worst moments<', '>Latencies')
    ]
    assert places == sorted(places)
    assert set(re.findall(r'(?:src|href|poster)="([^"]{5})', text)) == {'data:'}
    assert "default-src 'none'" in text
    assert [path.name for path in pages.glob('.*')] == [], 'nothing half-made is left'


def test_the_page_says_what_the_labels_of_the_bag_say(pages):
    text = marked_up(pages / 'one.html')
    recording = read_recording(pages / 'out.mcap')
    kinds = {output.modality.name for output in recording.outputs}
    assert kinds == {'FUSED', 'LIDAR', 'CAMERA'}
    assert f'{len(recording.outputs)} outputs in' in text
    for name in kinds:
        count = sum(output.modality.name == name for output in recording.outputs)
        assert re.search(rf'>{name}</span></th><td class="number">{count}</td>', text)
    assert '<b>white: truth</b>' not in text, 'there is none in this bag'
    for camera in CAMERAS:
        assert f'<figcaption>{camera}</figcaption>' in text


def test_the_worst_moments_are_where_the_sensors_died(folder):
    recording = read_recording(folder / 'out.mcap')
    moments = {moment.title: moment for moment in worst_moments(recording)}
    lost = moments['FUSED becomes LIDAR']
    assert lost.why == f'without {CAMERAS[1]}, {CAMERAS[0]}'
    assert recording.outputs[lost.index].sensors == {LIDAR}
    assert {'CAM_FRONT', 'CAM_BACK'} == recording.outputs[lost.index - 1].sensors - {LIDAR}
    fewest = moments['Fewest sensors, labelled LIDAR']
    assert fewest.why == f'1 of 3: {LIDAR}'


def test_two_runs_stand_side_by_side(pages):
    text = marked_up(pages / 'both.html')
    assert text.count('<video') == 2 and 'out.mcap against other.mcap' in text
    same = re.search(r'(\d+) outputs of the same stamps', text)
    assert same and int(same[1]) >= 5
    assert re.search(r'\b0 only in the first run, 0 only in the second', text)
    assert 'share 100% of their cells' in text


def test_a_bag_without_outputs_names_the_command_that_makes_them(metabev, folder, tmp_path):
    code, text = metabev('report', folder / 'in.mcap', '-o', tmp_path / 'page.html')
    assert code == 2 and 'metabev replay' in text and 'in.metabev.mcap' in text
    assert not list(tmp_path.iterdir())


def test_a_page_is_replaced_only_when_asked(metabev, folder, tmp_path):
    page = tmp_path / 'page.html'
    page.write_text('mine')
    words = ('report', folder / 'out.mcap', '-o', page, '--rig', folder / 'rig.yaml')
    code, text = metabev(*words)
    assert code == 2 and '--force' in text and page.read_text() == 'mine'
    code, text = metabev(*words, '--force', '--workers', '1', '--json')
    assert code == 0 and f'written: {page}' in text and '<video' in page.read_text()
    assert json.JSONDecoder().raw_decode(text)[0]['written'] == [str(page)]


@pytest.mark.parametrize('name', ['page.txt', 'folder.html', 'file/page.html'])
def test_a_page_that_cannot_be_written_is_refused_before_the_work(metabev, folder, tmp_path, name):
    (tmp_path / 'folder.html').mkdir()
    (tmp_path / 'file').touch()
    code, text = metabev('report', folder / 'out.mcap', '-o', tmp_path / name)
    assert code == 2 and 'Drawing' not in text and 'Traceback' not in text


def test_messages_that_nobody_could_mean_are_left_out_and_named(folder, tmp_path):
    """A status of a modality that there is not, an array cut short."""
    bag = tmp_path / 'bad.mcap'
    with BagWriter(bag, BagReader(folder / 'out.mcap').schemas) as writer:
        for message in BagReader(folder / 'out.mcap'):
            writer.write(message.topic, message.msgtype, message.log_time_ns, message.cdr)
            if message.topic == '/perception/detections':
                writer.write(message.topic, message.msgtype, message.log_time_ns, message.cdr[:30])
            if message.topic == '/perception/status':
                status = wire.deserialize(message.cdr, message.msgtype)
                status.modality = 99
                cdr = wire.serialize(status, message.msgtype)
                writer.write(message.topic, message.msgtype, message.log_time_ns, cdr)
    good, bad = read_recording(folder / 'out.mcap'), read_recording(bag)
    assert len(bad.outputs) == len(good.outputs) and len(bad.statuses) == len(good.statuses)
    assert bad.refused['/perception/status: value'] == len(good.statuses)
    assert bad.numbers == [2 * number for number in good.numbers]


def test_a_film_of_hours_has_fewer_pictures_a_second():
    assert film_rate(0.5) == film_rate(60.0) == 10.0
    assert film_rate(3600.0) * 3600.0 == pytest.approx(3000)


# ------------------------------------------------------------------------------ in a browser
needs_browser = pytest.mark.skipif(
    find_chromium() is None, reason='no chromium on PATH and none in METABEV_CHROMIUM'
)


@pytest.fixture(scope='module')
def tab():
    with chromium(find_chromium()) as tab:
        yield tab


@needs_browser
@pytest.mark.parametrize('width', [1300, 400])
def test_a_click_on_the_timeline_moves_film_sensors_and_pictures(tab, pages, width):
    tab.complaints.clear()
    tab.open((pages / 'one.html').as_uri(), width)
    tab.wait_for("[...document.querySelectorAll('video')].every(v => v.readyState >= 2)")
    tab.wait_for('window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle')
    assert tab.value('document.documentElement.scrollWidth') <= width, 'nothing is cut off'
    place = tab.value(
        "(() => { const box = document.querySelector('[data-root-id]').firstElementChild; "
        "box.scrollIntoView({block: 'start'}); const r = box.getBoundingClientRect(); "
        'return [r.left, r.top, r.width]; })()'
    )
    before = tab.value('[metabev.now, metabev.films[0].currentTime]')
    tab.click(place[0] + 0.7 * place[2], place[1] + 75)
    tab.wait_for(f'metabev.films[0].currentTime !== {before[1]}')
    tick = tab.value('metabev.now')
    assert tick != before[0]
    seconds = tab.value('(metabev.now + 1) / metabev.data.rate')
    shown = tab.value("document.getElementById('state0').innerText")
    assert f'at {seconds:.1f} s' in shown and LIDAR in shown
    still = tab.value("[...document.querySelectorAll('.still')].filter(s => !s.hidden).length")
    cursor = tab.value("Bokeh.documents[0].get_model_by_name('cursor0').location")
    assert still == 1 and cursor == pytest.approx(seconds)
    assert tab.complaints == []
    assert all(address.startswith('file:') for address in tab.requests)


@needs_browser
def test_the_film_plays(tab, pages):
    tab.open((pages / 'one.html').as_uri(), 1300)
    tab.value('metabev.films[0].play()')
    tab.wait_for('metabev.films[0].currentTime > 0.2')
    tab.wait_for('metabev.now >= 2')


@needs_browser
def test_films_of_two_runs_move_together(tab, pages):
    tab.complaints.clear()
    tab.open((pages / 'both.html').as_uri(), 1300)
    tab.wait_for("[...document.querySelectorAll('video')].every(v => v.readyState >= 2)")
    tab.value("document.querySelector('button[data-seek]').click()")
    tab.wait_for('metabev.films.every(film => film.currentTime > 0.1)')
    first, second = tab.value('metabev.films.map(film => film.currentTime)')
    assert first == second
    assert tab.complaints == []


@needs_browser
def test_a_large_film_lies_beside_its_page_and_is_found_there(tab, folder, tmp_path, monkeypatch):
    monkeypatch.setattr('metabev_ros.lab.report.player.EMBEDDED_LIMIT', 1000)
    config = load_contract(resource_path(DEFAULT_MODEL)).config
    page = tmp_path / 'a page.html'
    shutil.copy(folder / 'out.mcap', tmp_path)
    write_report(
        ReportConfig(tmp_path / 'out.mcap', page, rig_messages.rig(), config, workers=1),
        lambda *step: None,
    )
    assert {path.name for path in tmp_path.iterdir()} == {'a page.html', 'a page.mp4', 'out.mcap'}
    tab.complaints.clear()
    tab.open(page.as_uri(), 400)
    tab.wait_for('metabev.films[0].readyState >= 2')
    assert tab.complaints == []
