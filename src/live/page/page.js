'use strict';
const $ = (id) => document.getElementById(id);
const STAGES = [['track', 'finding faces'], ['align', 'cutting out'], ['swap', 'network'], ['looks', 'matching'], ['paste', 'pasting']];
let state = null;
let held = {};  // controls that the user has just moved: the next answers of the server do not move them back

function say(text) {
  $('error').textContent = text;
  $('error').hidden = !text;
}

async function change(what) {
  for (const key of Object.keys(what)) held[key] = Date.now();
  try {
    const answer = await fetch('change', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(what)});
    if (!answer.ok) say(await answer.text());
    refresh();
  } catch (e) {
    say('mfs live has ended.');
  }
}

function showPeople(people, identity) {
  const key = JSON.stringify(people);
  if ($('choices').dataset.key !== key) {
    $('choices').dataset.key = key;
    $('choices').replaceChildren(...people.map((person, i) => {
      const label = document.createElement('label');
      const input = document.createElement('input');
      input.type = 'radio';
      input.name = 'person';
      input.value = i;
      input.addEventListener('change', () => change({identity: i}));
      const face = document.createElement('span');
      face.className = 'face';
      if (person.picture) {
        const img = document.createElement('img');
        img.src = 'person/' + i;
        img.alt = '';
        img.addEventListener('error', () => img.replaceWith(person.name.slice(0, 2)));
        face.append(img);
      } else {
        face.textContent = person.name.slice(0, 2);
      }
      face.setAttribute('aria-hidden', 'true');
      const name = document.createElement('span');
      name.className = 'name';
      name.textContent = person.name;
      name.title = person.name;
      label.append(input, face, name);
      return label;
    }));
  }
  const wanted = identity.wanted_index >= 0 ? identity.wanted_index : identity.current_index;
  const held_now = Date.now() - (held.identity || 0) < 1000;
  document.querySelectorAll('#choices input').forEach((input, i) => {
    if (!held_now) input.checked = i === wanted;
  });
  const busy = $('busy');
  busy.className = identity.error ? 'bad' : '';
  const text = identity.error || (identity.wanted ? 'Getting ' + identity.wanted + ' ready …' : '');
  if (busy.textContent !== text) busy.textContent = text;
}

const percent = (value) => Math.round(100 * value) + ' %';

function showLooks(look) {
  for (const input of document.querySelectorAll('[data-look]')) {
    const name = input.dataset.look;
    if (!(name in look)) continue;
    if (Date.now() - (held[name] || 0) > 1000) {
      if (input.type === 'checkbox') input.checked = look[name];
      else input.value = look[name];
    }
    const output = $(name + '-value');
    if (output) output.textContent = percent(Number(input.value));
  }
}

function showNumbers(s) {
  $('fps').textContent = s.paused ? 'paused' : s.fps.toFixed(1);
  $('p50').textContent = s.latency_ms.count ? s.latency_ms.p50.toFixed(0) : '–';
  $('p99').textContent = s.latency_ms.count ? s.latency_ms.p99.toFixed(0) : '–';
  $('dropped').textContent = s.captured ? (100 * s.dropped / s.captured).toFixed(1) + ' %' : '–';
  const parts = STAGES.filter(([k]) => s.stages_ms[k] > 0);
  const sum = parts.reduce((a, [k]) => a + s.stages_ms[k], 0);
  $('bar').replaceChildren(...parts.map(([k]) => {
    const i = document.createElement('i');
    i.style.width = 100 * s.stages_ms[k] / sum + '%';
    i.style.background = 'var(--' + k + ')';
    return i;
  }));
  $('stages').textContent = parts.map(([k, name]) => name + ' ' + s.stages_ms[k].toFixed(1)).join(' · ') + (sum ? ' ms a frame' : '');
}

function showSinks(sinks) {
  $('sinks').replaceChildren(...sinks.map((k) => {
    const li = document.createElement('li');
    const name = document.createElement('span'), what = document.createElement('span');
    name.textContent = k.name === 'page' ? 'this page' : k.name;
    what.textContent = k.error || k.written + ' frames, ' + k.latency_ms.p50.toFixed(0) + ' / ' + k.latency_ms.p99.toFixed(0) + ' ms';
    if (k.error) li.className = 'bad';
    li.append(name, what);
    return li;
  }));
}

const SOURCES = {opening: 'Opening the camera …', running: '', lost: 'The camera is gone; waiting for it: ', ended: 'The input has ended.'};

function show(s) {
  state = s;
  const source = $('source');
  source.className = s.source.state;
  const text = s.source.state === 'running' ? s.source.name : SOURCES[s.source.state] + (s.source.error || '');
  if (source.textContent !== text) source.textContent = text;
  const veil = s.paused ? 'Paused: the last picture stays on every output.' : s.source.state === 'lost' ? 'No camera. The last picture stays on every output.' : '';
  $('veil').textContent = veil;
  $('veil').hidden = !veil;
  $('pause').setAttribute('aria-pressed', s.paused);
  $('mirror').setAttribute('aria-pressed', s.mirror);
  showNumbers(s);
  showPeople(s.people, s.identity);
  showLooks(s.look);
  showSinks(s.sinks);
}

// The preview does not come back by itself: not after the server was gone, nor after it closed a stream that a sleeping tab did not read, which
// stands still without an error. Its name is for asking whether it still runs.
let preview = '', begun = 0;
function loadPreview() {
  preview = Math.random().toString(36).slice(2);
  begun = Date.now();
  $('preview').src = 'preview?id=' + preview;
}

let missed = 0;
async function refresh() {
  try {
    const asked = preview;
    const answer = await fetch('state?preview=' + asked);
    if (!answer.ok) throw new Error(answer.status);
    show(await answer.json());
    if (missed) say('');
    const gone = asked === preview && answer.headers.get('X-Preview') === 'gone' && Date.now() - begun > 2000;
    if (missed || gone) loadPreview();
    missed = 0;
  } catch (e) {
    if (++missed === 2) say('mfs live does not answer; it has probably ended.');
  }
}

$('pause').addEventListener('click', () => change({paused: !(state && state.paused)}));
$('mirror').addEventListener('click', () => change({mirror: !(state && state.mirror)}));
for (const input of document.querySelectorAll('[data-look]')) {
  input.addEventListener('input', () => change({[input.dataset.look]: input.type === 'checkbox' ? input.checked : input.tagName === 'SELECT' ? input.value : Number(input.value)}));
}
document.addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.altKey || e.metaKey || /^(INPUT|BUTTON|SELECT)$/.test(e.target.tagName)) return;
  if (e.key === ' ') {
    e.preventDefault();
    $('pause').click();
  } else if (e.key === 'm' || e.key === 'M') {
    $('mirror').click();
  }
});
$('error').addEventListener('click', () => say(''));
$('preview').addEventListener('error', () => setTimeout(() => missed || loadPreview(), 1000));  // refused, since too many look
document.addEventListener('visibilitychange', () => document.hidden || loadPreview());
window.addEventListener('pageshow', (e) => e.persisted && loadPreview());
loadPreview();
refresh();
setInterval(refresh, 500);
