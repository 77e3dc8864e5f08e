// The enrolment page: three steps on one page, a passkey made inside the tap itself.

import { announce, copyLink, credentialJson, Failure, forget, isStale, makePasskey, post, RENEW, showTimes, supported } from './passkey.js';

const RETRY = 5_000;

const path = location.pathname.replace(/\/$/, '');
const host = document.body.dataset.host;
const find = (selector) => document.querySelector(selector);
const step = (name) => find(`[data-step=${name}]`);

let prepared = null;
let trouble = false; // the last note says that the server was not reached
let current = 'welcome';
let made = 0;
let given = ''; // the name that the server gave
let timer = 0;
let busy = false;

function show(name) {
  current = name;
  for (const one of document.querySelectorAll('[data-step]')) one.hidden = one.dataset.step !== name;
  const heading = step(name).querySelector('h1');
  heading.focus();
  announce(heading.innerText);
  window.scrollTo(0, 0);
  if (name === 'make' || name === 'second') prepare();
  enable();
}

function enable() {
  for (const button of document.querySelectorAll('[data-act=make]')) button.disabled = !prepared || busy || !navigator.onLine;
  for (const button of document.querySelectorAll('[data-act=continue],[data-act=decline],[data-act=named]')) button.disabled = busy;
}

function note(text) {
  for (const place of document.querySelectorAll('[data-note]')) {
    place.textContent = text;
    place.hidden = text === '';
  }
  if (text) announce(text);
}

async function prepare() {
  clearTimeout(timer);
  try {
    prepared = { ...(await post(`${path}/options`, {})), at: Date.now() };
    // What a refused device was told stays until the next tap; only our own trouble is over now.
    if (trouble) note('');
    trouble = false;
    timer = setTimeout(renew, RENEW);
  } catch (fault) {
    prepared = null;
    if (fault.code === 'link_spent' || fault.code === 'not_found') return void location.reload();
    trouble = true;
    note(navigator.onLine ? `${fault.description || 'This page does not reach the server.'} Trying again.` : 'No connection. Nothing was sent.');
    timer = setTimeout(renew, RETRY);
  } finally {
    enable();
  }
}

function renew() {
  if (busy || (current !== 'make' && current !== 'second')) return;
  if (isStale(prepared)) prepared = null;
  enable();
  prepare();
}

function make() {
  const used = prepared;
  if (isStale(used)) return renew();
  busy = true;
  note('');
  const asked = makePasskey(used.publicKey);
  prepared = null;
  clearTimeout(timer);
  enable();
  let id = null;
  asked
    .then((credential) => {
      ({ id } = credential);
      return post(`${path}/passkey`, { ceremony: used.ceremony, response: credentialJson(credential) });
    })
    .then(({ passkey, count }) => {
      made = count;
      given = passkey.name;
      step('name').querySelector('[data-strength]').textContent = passkey.strength;
      step('name').querySelector('[data-claim]').textContent = passkey.proven ? ' ✓ proven by its maker' : passkey.claimed ? ' · the name is what the device claims' : '';
      find('#name').value = passkey.name;
      note('');
      show('name');
    })
    .catch((fault) => refused(fault, id, used.publicKey.rp.id))
    .finally(() => {
      busy = false;
      enable();
    });
}

function refused(fault, id, rpId) {
  if (!(fault instanceof Failure)) {
    prepare();
    const known = fault?.name === 'InvalidStateError';
    return note(known ? 'This passkey is enrolled already. Use another.' : 'Nothing was made. The browser closed the passkey window.');
  }
  if (fault.code === 'offline') {
    prepare();
    return note('No connection. Nothing was kept.');
  }
  if (id) forget(rpId, id);
  const place = step('refused');
  place.querySelector('[data-description]').textContent = fault.description;
  place.querySelector('[data-hint]').textContent = fault.hint;
  place.querySelector('[data-call]').textContent = fault.callId ? `Call ${fault.callId}` : '';
  show('refused');
}

async function named() {
  const name = find('#name').value.trim();
  busy = true;
  enable();
  try {
    if (name && name !== given) await post(`${path}/name`, { name });
    note('');
    if (made > 1) done();
    else show('second');
  } catch (fault) {
    note(fault.code === 'offline' ? 'No connection. Nothing was sent.' : `${fault.description} ${fault.hint}`.trim());
  } finally {
    busy = false;
    enable();
  }
}

function done() {
  clearTimeout(timer);
  step('done').querySelector('[data-one]').hidden = made > 1;
  show('done');
}

async function decline() {
  busy = true;
  enable();
  try {
    await post(`${path}/decline`, {});
    show('declined');
  } catch {
    location.reload();
  } finally {
    busy = false;
    enable();
  }
}

const ACTS = {
  continue: () => show('make'), make, named, later: done, decline, copy: copyLink,
  again: () => show(made > 0 ? 'second' : 'make'),
};

document.addEventListener('click', ({ target }) => {
  const button = target.closest?.('[data-act]');
  if (button && !button.disabled) ACTS[button.dataset.act]?.(button);
});
find('#name').addEventListener('keydown', (event) => event.key === 'Enter' && !busy && named());
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && renew());
window.addEventListener('online', renew);
window.addEventListener('offline', () => {
  note('No connection. Nothing was sent.');
  enable();
});

showTimes();
if (supported()) enable();
else show('unsupported');
