// The approval page. A tap never waits for the network: what a passkey signs is fetched and checked beforehand.
// Everything that the server says arrives as rendered HTML; errors find their words in the page's templates.

import { announce, clock, copyLink, credentialJson, Failure, forget, isStale, now, post, RENEW, sha256, showTimes, supported, usePasskey } from './passkey.js';
import { fillList, shows } from './statement.js';

const TYPING = 500;
const RETRY = 5_000;
const WARNINGS = [[300, '5 minutes left'], [60, '1 minute left']];
// The server's page tells these better than a message could.
const MOVED_ON = ['request_expired', 'already_decided', 'denied_by_person', 'request_contested', 'rule_changed'];

const { body } = document;
const main = document.querySelector('main');
const path = location.pathname.replace(/\/$/, '');
const find = (selector) => main.querySelector(selector);

let prepared = null; // the statement that the next touch signs, checked
let wanted = null; // { decision, reason } that should be prepared
let signing = null; // AbortController of the passkey window that is open
let mine = null; // what the reader has signed here
let user = null; // the user name whose keys are looked for, where none was offered
let panel = 'choose';
let timer = 0;

// ---- what is signed -------------------------------------------------------------------------------------------

// Compares the statement with this page, value by value. Any difference means that nothing is signed.
const agrees = (statement, asked) => statement.decision === asked.decision
  && (statement.reason ?? '') === (asked.reason ?? '') && shows(statement, 'request');

async function prepare(asked) {
  wanted = asked;
  clearTimeout(timer);
  try {
    const options = await post(`${path}/options`, user === null ? asked : { ...asked, user });
    if (wanted !== asked) return;
    const statement = JSON.parse(options.statement);
    if (await sha256(options.statement) !== options.publicKey.challenge || !agrees(statement, asked)) throw new Failure('mismatch');
    if (wanted !== asked) return;
    prepared = { ...asked, ceremony: options.ceremony, publicKey: options.publicKey, at: Date.now() };
    fillList(statement);
    note('');
    timer = setTimeout(renew, RENEW);
  } catch (fault) {
    if (wanted !== asked) return;
    prepared = null;
    if (MOVED_ON.includes(fault.code)) return void refresh();
    if (user !== null && fault.code === 'parameter_invalid') return void note(`${fault.description} ${fault.hint}`.trim());
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
  prepare({ ...wanted });
}

// ---- panels ---------------------------------------------------------------------------------------------------

function enable() {
  const ready = prepared !== null && navigator.onLine && !signing;
  const approve = find('[data-act=approve]');
  const denial = find('[data-act=sign-denial]');
  const deny = find('[data-act=deny]');
  const use = find('[data-act=use]');
  if (approve) approve.disabled = !(ready && prepared.decision === 'approve') || secondsLeft() <= 0;
  if (denial) denial.disabled = !(ready && prepared.decision === 'deny' && prepared.reason === reason());
  if (use) use.disabled = !ready;
  if (deny) deny.disabled = Boolean(signing) || !supported();
}

function show(name) {
  panel = name;
  for (const one of main.querySelectorAll('[data-panel]')) one.hidden = one.dataset.panel !== name;
  document.getElementById('bar')?.classList.toggle('open', name === 'deny');
  if (name !== 'choose') focusOn(find(`[data-panel=${name}] h2`));
  enable();
}

function focusOn(heading) {
  if (!heading) return;
  heading.focus({ preventScroll: true });
  document.getElementById('bar')?.scrollIntoView({ block: 'end' });
  announce(heading.innerText);
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

// Back to the state as it stands, with a fresh statement where one can be signed.
function start() {
  wanted = null;
  user = null;
  prepared = null;
  note('');
  show('choose');
  if (!supported()) {
    if (find('[data-act=deny], [data-act=approve]')) problem(new Failure('unsupported'));
  } else if (find('[data-act=approve]')) {
    prepare({ decision: 'approve' });
  }
}

// For keys that hold no account: the browser is told which ones to look for.
async function look() {
  const field = find('#user');
  const name = field.value.trim();
  if (!name) return void field.focus();
  user = name;
  prepared = null;
  await prepare({ ...wanted });
  if (prepared && user === name) problem(new Failure('found'));
}

// ---- deny -----------------------------------------------------------------------------------------------------

function reason() {
  const chosen = find('[name=reason]:checked')?.value;
  return chosen === 'other' ? document.getElementById('other').value.trim() : chosen ?? '';
}

function reasonChanged() {
  const typed = find('[name=reason]:checked')?.value === 'other';
  const field = find('[data-other]');
  if (field.hidden === typed) {
    field.hidden = !typed;
    document.getElementById('bar').scrollIntoView({ block: 'end' });
  }
  clearTimeout(timer);
  wanted = null;
  prepared = null;
  enable();
  const text = reason();
  if (text) timer = setTimeout(() => prepare({ decision: 'deny', reason: text }), typed ? TYPING : 0);
}

// ---- sign -----------------------------------------------------------------------------------------------------

// Runs inside the tap itself: nothing may be awaited before the passkey window is asked for.
function sign() {
  const used = prepared;
  if (isStale(used)) return renew();
  signing = new AbortController();
  const { signal } = signing;
  const asked = usePasskey(used.publicKey, signal);
  prepared = null;
  clearTimeout(timer);
  show('sign');
  asked
    .then((credential) => post(`${path}/decision`, { ceremony: used.ceremony, response: credentialJson(credential) }).catch((fault) => {
      if (fault.code === 'passkey_unknown') forget(used.publicKey.rpId, credential.id);
      throw fault;
    }))
    .then((answer) => {
      mine = used.decision;
      // The stream may have been faster than this answer.
      if (body.dataset.state === 'collected' && answer.state === 'approved') return refresh();
      return swap(answer);
    })
    .catch((fault) => {
      if (signal.reason === 'overtaken') return;
      const known = fault instanceof Failure ? fault : new Failure('browser');
      if (MOVED_ON.includes(known.code)) refresh();
      else problem(known);
    })
    .finally(() => {
      signing = null;
      enable();
    });
}

// ---- where it stands ------------------------------------------------------------------------------------------

function tally({ signed, needed }) {
  if (signed === undefined) return;
  body.dataset.signed = signed;
  for (const place of main.querySelectorAll('[data-signed]')) place.textContent = signed;
  if (needed !== undefined) body.dataset.needed = needed;
}

function swap(answer) {
  body.dataset.state = answer.state;
  wanted = null;
  prepared = null;
  clearTimeout(timer);
  main.innerHTML = answer.html;
  tally(answer);
  const ours = (mine === 'approve' && ['approved', 'collected'].includes(answer.state)) || (mine === 'deny' && answer.state === 'denied');
  if (ours) for (const place of main.querySelectorAll('[data-by]')) place.hidden = place.dataset.by !== 'you';
  showTimes(main);
  panel = 'choose';
  tick();
  start();
  const heading = find('h1');
  heading?.focus();
  announce(heading?.innerText ?? '');
  window.scrollTo(0, 0);
  if (mine) tellNext();
}

// Whoever is signed in, which nobody needs to be, is told what else waits.
async function tellNext() {
  try {
    const answer = await fetch('/waiting', { cache: 'no-store', credentials: 'same-origin', headers: { accept: 'application/json' } });
    const { count } = answer.ok ? await answer.json() : { count: 0 };
    const place = find('.next');
    if (!count || !place || find('[data-others]')) return;
    const link = document.createElement('a');
    link.href = '/';
    link.dataset.others = count;
    link.textContent = `Next: ${count} more waiting`;
    const line = document.createElement('p');
    line.className = 'next';
    line.append(link);
    place.after(line);
  } catch {
    // It was a courtesy.
  }
}

// From the stream: the state moved, here or elsewhere.
function arrived(event) {
  const told = JSON.parse(event.data);
  if (told.state === body.dataset.state) return tally(told);
  if (signing) signing.abort('overtaken');
  signing = null;
  swap(told);
}

async function refresh() {
  try {
    const answer = await fetch(location.pathname, { cache: 'no-store', headers: { accept: 'text/html' } });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const { state, signed, needed } = page.body.dataset;
    if (!answer.ok || !state) throw new Failure('other');
    swap({ state, signed, needed, html: page.querySelector('main').innerHTML });
  } catch {
    note('No connection. Nothing was sent.');
  }
}

// ---- time -----------------------------------------------------------------------------------------------------

const secondsLeft = () => Math.max(0, Math.floor((Date.parse(body.dataset.decideBy) - now()) / 1000));

let before = secondsLeft();
function tick() {
  const waiting = body.dataset.state === 'waiting';
  const seconds = secondsLeft();
  const left = document.getElementById('left');
  left.hidden = !waiting;
  left.classList.toggle('soon', seconds <= 60);
  left.querySelector('[data-left]').textContent = clock(seconds);
  const what = waiting && mine !== 'approve' ? `Approve ${body.dataset.project}` : find('h1').innerText;
  document.title = waiting ? `${clock(seconds)} · ${what}` : `${what} · Countersign`;
  if (waiting) {
    for (const [mark, words] of WARNINGS) if (before > mark && seconds <= mark) announce(words);
    if (before > 0 && seconds === 0) {
      enable();
      setTimeout(refresh, 1500);
    }
  }
  before = seconds;
  showTimes();
}

// ---- wiring ---------------------------------------------------------------------------------------------------

const ACTS = {
  approve: sign,
  'sign-denial': sign,
  use: sign,
  find: look,
  deny: () => {
    clearTimeout(timer);
    wanted = null;
    prepared = null;
    show('deny');
    reasonChanged();
  },
  back: () => {
    start();
    find('[data-act=deny]')?.focus();
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
main.addEventListener('change', ({ target }) => target.name === 'reason' && reasonChanged());
main.addEventListener('input', ({ target }) => target.id === 'other' && reasonChanged());
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

const stream = new EventSource(`${path}/events`);
stream.addEventListener('state', arrived);
stream.addEventListener('error', () => {
  if (!navigator.onLine) note('No connection. Nothing was sent.');
});

showTimes();
tick();
setInterval(tick, 1000);
start();
