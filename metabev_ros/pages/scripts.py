"""The scripts of the pages. All that comes from messages goes into the page as text, not HTML."""

from __future__ import annotations

# draw(element, status): the modality and the table of the sensors.
SENSOR_TABLE = """
const metabev = {};
metabev.element = (tag, text, kind) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
};
metabev.number = (value, unit) => value === null ? '-' : value.toFixed(unit === 'Hz' ? 1 : 0)
  + ' ' + unit;
metabev.drawState = (place, status, words) => {
  const head = metabev.element('p');
  const pill = metabev.element('span', status.modality, 'pill');
  pill.style.background = status.colour;
  head.append(pill, ' ' + words);
  const table = metabev.element('table'), body = metabev.element('tbody');
  const heads = metabev.element('tr');
  for (const [text, kind] of [['sensor'], ['state'], ['in the output'], ['age', 'number'],
      ['rate', 'number'], ['why']]) heads.append(metabev.element('th', text, kind));
  const top = metabev.element('thead');
  top.append(heads);
  for (const sensor of status.sensors) {
    const row = metabev.element('tr');
    const state = metabev.element('td', sensor.state, 'state');
    state.style.color = sensor.colour;
    row.append(metabev.element('th', sensor.name), state,
      metabev.element('td', sensor.used ? 'yes' : 'no'),
      metabev.element('td', metabev.number(sensor.age, 'ms'), 'number'),
      metabev.element('td', metabev.number(sensor.rate, 'Hz'), 'number'),
      metabev.element('td', sensor.reason));
    body.append(row);
  }
  table.append(top, body);
  const wide = metabev.element('div', undefined, 'wide');
  wide.append(table);
  place.replaceChildren(head, wide);
};
"""

# Film, timeline, sensors and stills of one moment move together.
PLAYER = """
metabev.data = JSON.parse(document.getElementById('moments').textContent);
metabev.films = [...document.querySelectorAll('video')];
metabev.now = -1;
metabev.show = seconds => {
  const data = metabev.data;
  const tick = Math.min(Math.max(Math.floor(seconds * data.rate + 1e-6), 0), data.ticks - 1);
  if (tick === metabev.now) return;
  metabev.now = tick;
  document.documentElement.dataset.tick = tick;
  const until = (tick + 1) / data.rate;
  data.runs.forEach((run, index) => {
    const place = document.getElementById('state' + index), found = run.statuses[run.at[tick]];
    if (!place) return;
    if (found) metabev.drawState(place, found, 'at ' + until.toFixed(1) + ' s' +
      (found.latency === null ? ', no output'
        : ', ' + found.latency.toFixed(0) + ' ms after its stamp'));
    else place.replaceChildren(metabev.element('p', 'nothing was said yet'));
  });
  const stills = [...document.querySelectorAll('.still')];
  const apart = still => Math.abs(still.dataset.t - until);
  const nearest = stills.reduce((a, b) => a && apart(a) <= apart(b) ? a : b, null);
  for (const still of stills) still.hidden = still !== nearest;
  for (const other of (window.Bokeh ? Bokeh.documents : []))
    for (const name of data.cursors) {
      const line = other.get_model_by_name(name);
      if (line) line.location = until;
    }
};
metabev.seek = seconds => {
  const data = metabev.data, last = (data.ticks - 0.5) / data.rate;
  const tick = Math.floor(Math.max(seconds, 0) * data.rate + 1e-6);
  const middle = Math.min((tick + 0.5) / data.rate, last);
  for (const film of metabev.films) film.currentTime = middle;
  metabev.show(middle);
};
metabev.follow = () => {
  const [first, ...others] = metabev.films;
  if (!first) return;
  for (const kind of ['timeupdate', 'seeked'])
    first.addEventListener(kind, () => metabev.show(first.currentTime));
  first.addEventListener('play', () => others.forEach(film => film.play()));
  first.addEventListener('pause', () => others.forEach(film => film.pause()));
  first.addEventListener('seeking', () => others.forEach(film => {
    const now = first.currentTime;
    if (Math.abs(film.currentTime - now) > 0.01) film.currentTime = now;
  }));
};
window.metabev = metabev;
metabev.follow();
document.addEventListener('click', event => {
  const button = event.target.closest('button[data-seek]');
  if (!button) return;
  metabev.seek(Number(button.dataset.seek));
  document.getElementById('film').scrollIntoView({ behavior: 'smooth' });
});
metabev.show((metabev.data.poster + 0.5) / metabev.data.rate);
"""

# The live page: states come as server-sent events, pictures when their number is a new one.
WATCH = """
metabev.history = [];
metabev.busy = {};
metabev.place = name => document.getElementById(name);
metabev.refresh = (name, number) => {
  const image = metabev.place(name);
  if (!image || !number || metabev.busy[name] || image.dataset.number === String(number)) return;
  const next = new Image();
  metabev.busy[name] = true;
  next.onload = () => {
    image.src = next.src;
    image.hidden = false;
    image.dataset.number = number;
    metabev.busy[name] = false;
  };
  next.onerror = () => { metabev.busy[name] = false; };
  next.src = name + '.jpg?' + number;
};
metabev.drawRates = state => {
  const rows = [['silence', metabev.number(state.silence, 's')]];
  if (state.silence !== null) rows[0][1] = state.silence.toFixed(1) + ' s since the last word';
  for (const [kind, rate] of Object.entries(state.rates)) rows.push([kind, rate + ' Hz']);
  if (state.output) {
    if (state.output.latency !== null)
      rows.push(['latency', state.output.latency.toFixed(0) + ' ms']);
    for (const [stage, time] of Object.entries(state.output.stages))
      rows.push([stage, metabev.number(time, 'ms')]);
  }
  rows.push(['samples replaced', state.dropped === null ? '-' : String(state.dropped)]);
  rows.push(['model', state.model || '-']);
  for (const [what, count] of Object.entries(state.refused))
    rows.push(['not readable', count + ' x ' + what]);
  metabev.place('rates').replaceChildren(...rows.flatMap(([name, text]) =>
    [metabev.element('dt', name), metabev.element('dd', text)]));
};
metabev.drawHistory = () => {
  const canvas = metabev.place('history'), pen = canvas.getContext('2d');
  const last = metabev.history[metabev.history.length - 1];
  const names = last ? last.rows.map(row => row[0]) : [];
  const scale = window.devicePixelRatio || 1, height = 22 * (names.length + 1);
  const width = canvas.clientWidth;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.height = height + 'px';
  pen.scale(scale, scale);
  pen.font = '12px system-ui, sans-serif';
  const left = Math.min(130, width * 0.34), perSecond = (width - left) / 60;
  const now = last ? last.t : 0;
  names.forEach((name, row) => {
    pen.fillStyle = '#22262c';
    pen.fillText(name.slice(-17), 0, 22 * row + 15);
    metabev.history.forEach((moment, index) => {
      const next = metabev.history[index + 1];
      const begin = left + (60 - (now - moment.t)) * perSecond;
      const end = left + (60 - (now - (next ? next.t : now))) * perSecond;
      if (!moment.rows[row]) return;
      pen.fillStyle = moment.rows[row][1];
      pen.fillRect(Math.max(begin, left), 22 * row + 4, Math.max(end - begin, 0.5) + 0.5, 15);
    });
  });
  pen.fillStyle = '#5b6470';
  pen.fillText('60 s ago', left, height - 7);
  pen.fillText('now', width - 26, height - 7);
};
metabev.take = state => {
  document.documentElement.dataset.states = ++metabev.count;
  const words = metabev.place('words');
  if (!state.status) return;
  words.textContent = state.is_silent
    ? 'The node is SILENT: nothing for ' + state.silence.toFixed(1) + ' s.'
    : 'The node is alive.' + (state.output_age === null ? ' No output yet.'
      : ' Newest output ' + state.output_age.toFixed(1) + ' s ago.');
  words.style.color = state.is_silent ? 'var(--bad)' : '';
  metabev.drawState(metabev.place('state'), state.status, state.is_silent ? 'was its last word'
    : 'now');
  metabev.drawRates(state);
  metabev.refresh('ground', state.ground);
  metabev.refresh('cameras', state.cameras);
  const rows = state.status.sensors.map(sensor => [sensor.name, sensor.colour]);
  const dark = state.is_silent ? '#d9dce0' : null;
  rows.push(['modality', state.status.colour]);
  metabev.history.push({ t: performance.now() / 1000,
    rows: rows.map(([name, colour]) => [name, dark || colour]) });
  const now = performance.now() / 1000;
  while (metabev.history[0].t < now - 60) metabev.history.shift();
  metabev.drawHistory();
};
metabev.count = 0;
window.metabev = metabev;
const events = new EventSource('events');
events.onmessage = event => metabev.take(JSON.parse(event.data));
events.onerror = () => {
  const words = metabev.place('words');
  words.textContent = 'metabev watch has ended, or is out of reach; trying again.';
  words.style.color = 'var(--bad)';
};
"""
