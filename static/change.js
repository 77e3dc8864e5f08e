// The page of a change. A tap never waits for the network: what a passkey signs is fetched and checked beforehand.

import { announce, copyLink, credentialJson, Failure, forget, isStale, post, RENEW, sha256, showTimes, supported, usePasskey } from './passkey.js';
import { fillList, shows } from './statement.js';

const RETRY = 5_000;
// The server's page tells these better than a message could.
const MOVED_ON = ['already_decided', 'change_over'];

const main = document.querySelector('main');
const path = location.pathname.replace(/\/$/, '');
const find = (selector) => main.querySelector(selector);

let prepared = null; // the statement that the next touch signs, checked
let wanted = null; // 'approve' or 'deny'
let user = null; // the user name whose keys are looked for, where none was offered
let signing = null; // AbortController of the passkey window that is open
let panel = 'choose';
let timer = 0;

async function prepare(decision) {
  wanted = decision;
  const whose = user;
  const overtaken = () => wanted !== decision || user !== whose;
  clearTimeout(timer);
  try {
    const options = await post(`${path}/options`, whose === null ? { decision } : { decision, user: whose });
    if (overtaken()) return;
    const statement = JSON.parse(options.statement);
    const same = statement.decision === decision && shows(statement, 'change');
    if (!same || await sha256(options.statement) !== options.publicKey.challenge) throw new Failure('mismatch');
    if (overtaken()) return;
    prepared = { decision, ceremony: options.ceremony, publicKey: options.publicKey, at: Date.now() };
    fillList(statement);
    note('');
    timer = setTimeout(renew, RENEW);
  } catch (fault) {
    if (overtaken()) return;
    prepared = null;
    if (MOVED_ON.includes(fault.code)) return void location.reload();
    if (whose !== null && fault.code === 'parameter_invalid') return void note(`${fault.description} ${fault.hint}`.trim());
    if (fault.code === 'mismatch') return void problem(fault);
    note(navigator.onLine ? `${fault.description || 'This page does not reach the server.'} Trying again.` : 'No connection. Nothing was sent.');
    timer = setTimeout(renew, RETRY);
  } finally {
    enable();
  }
}

function renew() {
  if (!wanted || signing) return;
  if (isStale(prepared)) prepared = null;
  enable();
  prepare(wanted);
}

function enable() {
  const ready = prepared !== null && navigator.onLine && !signing;
  const set = (act, on) => { const button = find(`[data-act=${act}]`); if (button) button.disabled = !on; };
  set('sign', ready && prepared.decision === 'approve');
  set('sign-refusal', ready && prepared.decision === 'deny');
  set('use', ready);
  set('refuse', !signing && supported());
}

function show(name) {
  panel = name;
  for (const one of main.querySelectorAll('[data-panel]')) one.hidden = one.dataset.panel !== name;
  if (name !== 'choose') {
    const heading = find(`[data-panel=${name}] h2`);
    heading?.focus({ preventScroll: true });
    document.getElementById('bar')?.scrollIntoView({ block: 'end' });
    announce(heading?.innerText ?? '');
  }
  enable();
}

function note(text) {
  for (const place of main.querySelectorAll('[data-note]')) {
    if (place.textContent !== text) place.textContent = text;
    place.hidden = text === '';
  }
}

function problem(fault) {
  const words = document.querySelector(`[data-problem="${CSS.escape(fault.code)}"]`) ?? document.querySelector('[data-problem=other]');
  const place = find('[data-panel=problem]');
  if (!place) return;
  place.replaceChildren(words.content.cloneNode(true));
  const description = place.querySelector('[data-description]');
  if (description) description.textContent = [fault.description, fault.hint].filter(Boolean).join(' ');
  const call = place.querySelector('[data-call]');
  if (call) call.textContent = fault.callId ? `Call ${fault.callId}` : '';
  show('problem');
}

// Back to the change as it stands, with a fresh statement where one can be signed.
function start() {
  wanted = null;
  user = null;
  prepared = null;
  clearTimeout(timer);
  note('');
  show('choose');
  if (!supported()) {
    if (find('[data-act=refuse]')) problem(new Failure('unsupported'));
  } else if (find('[data-act=sign]')) {
    prepare('approve');
  }
}

// For keys that hold no account: the browser is told which ones to look for.
async function look() {
  const field = find('#user');
  const name = field.value.trim();
  if (!name) return void field.focus();
  user = name;
  prepared = null;
  await prepare(wanted);
  if (prepared && user === name) problem(new Failure('found'));
}

// Runs inside the tap itself: nothing may be awaited before the passkey window is asked for.
function sign() {
  const used = prepared;
  if (isStale(used)) return renew();
  signing = new AbortController();
  const asked = usePasskey(used.publicKey, signing.signal);
  prepared = null;
  clearTimeout(timer);
  show('sign');
  asked
    .then((credential) => post(`${path}/signature`, { ceremony: used.ceremony, response: credentialJson(credential) }).catch((fault) => {
      if (fault.code === 'passkey_unknown') forget(used.publicKey.rpId, credential.id);
      throw fault;
    }))
    .then((answer) => {
      signing = null;
      swap(answer);
    })
    .catch((fault) => {
      signing = null;
      const known = fault instanceof Failure ? fault : new Failure('browser');
      if (MOVED_ON.includes(known.code)) location.reload();
      else problem(known);
    });
}

function swap(answer) {
  document.body.dataset.state = answer.state;
  main.innerHTML = answer.html;
  showTimes(main);
  start();
  const heading = find('h1');
  document.title = `${heading.innerText} · Countersign`;
  heading.focus();
  announce(heading.innerText);
  window.scrollTo(0, 0);
}

const ACTS = {
  sign,
  'sign-refusal': sign,
  use: sign,
  find: look,
  refuse: () => {
    prepared = null;
    show('refuse');
    prepare('deny');
  },
  back: () => {
    start();
    find('[data-act=refuse]')?.focus();
  },
  again: start,
  cancel: () => signing?.abort(),
  reload: () => location.reload(),
  copy: copyLink,
};

document.addEventListener('click', ({ target }) => {
  const button = target.closest?.('[data-act]');
  if (button && !button.disabled) ACTS[button.dataset.act]?.(button);
});
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible' && panel !== 'problem') renew();
});
window.addEventListener('online', () => {
  note('');
  renew();
});
window.addEventListener('offline', () => {
  note('No connection. Nothing was sent.');
  announce('No connection. Nothing was sent.');
  enable();
});

showTimes();
setInterval(showTimes, 1000);
start();
