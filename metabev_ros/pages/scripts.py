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
