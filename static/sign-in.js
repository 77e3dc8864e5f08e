// The sign-in page: the browser offers passkeys by itself where it can, and a button asks for one. A tap never waits
// for the network: what a passkey answers is fetched beforehand.

import { announce, copyLink, credentialJson, Failure, find, forget, isStale, post, RENEW, requestOptions, showStep, supported, usePasskey } from './passkey.js';

const RETRY = 5_000;

const { next, for: request } = document.body.dataset;

let prepared = null; // the ceremony that the next touch answers
let user = null; // the user name whose keys are looked for
let offered = null; // AbortController of the browser's own offer
let asking = null; // AbortController of the passkey window that is open
let busy = false;
let timer = 0;
let current = 'ask';

function show(name) {
  current = name;
  showStep(name);
  enable();
}

function enable() {
  const ready = prepared !== null && !busy && navigator.onLine;
  for (const button of document.querySelectorAll('[data-act=use]')) button.disabled = !ready;
  find('[data-act=find]').disabled = busy || !navigator.onLine;
}

function note(text) {
  for (const place of document.querySelectorAll('[data-note]')) {
    if (place.textContent !== text) place.textContent = text;
    place.hidden = text === '';
  }
  if (text) announce(text);
}

async function prepare() {
  clearTimeout(timer);
  const wanted = user;
  try {
    const wish = { ...(wanted === null ? {} : { user: wanted }), ...(request ? { for: request } : {}) };
    const options = await post('/sign-in/options', wish);
    if (wanted !== user) return false;
    prepared = { ...options, at: Date.now() };
    note('');
    timer = setTimeout(renew, RENEW);
    if (wanted === null) offer();
    return true;
  } catch (fault) {
    if (wanted !== user) return false;
    prepared = null;
    if (fault.code === 'parameter_invalid') {
      note(`${fault.description} ${fault.hint}`);
      return false;
    }
    note(navigator.onLine ? `${fault.description || 'This page does not reach the server.'} Trying again.` : 'No connection. Nothing was sent.');
    timer = setTimeout(renew, RETRY);
    return false;
  } finally {
    enable();
  }
}

function renew() {
  if (busy || !['ask', 'found'].includes(current)) return;
  if (isStale(prepared)) prepared = null;
  enable();
  prepare();
}

// The browser's own offer in the field for the user name; it takes the ceremony that the button would.
async function offer() {
  offered?.abort();
  const used = prepared;
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.().catch(() => false)) || used !== prepared || busy) return;
  const mine = new AbortController();
  offered = mine;
  navigator.credentials.get({ mediation: 'conditional', publicKey: requestOptions(used.publicKey), signal: mine.signal })
    .then((credential) => {
      if (mine.signal.aborted || used !== prepared) return;
      busy = true;
      prepared = null;
      enable();
      answer(used, credential);
    })
    // Without an offer there is the button.
    .catch(() => {});
}

// Runs inside the tap itself: nothing may be awaited before the passkey window is asked for.
function use() {
  const used = prepared;
  if (isStale(used)) return renew();
  offered?.abort();
  offered = null;
  asking = new AbortController();
  busy = true;
  const asked = usePasskey(used.publicKey, asking.signal);
  prepared = null;
  clearTimeout(timer);
  show('signing');
  asked.then((credential) => answer(used, credential), refused);
}

async function answer(used, credential) {
  try {
    await post('/sign-in/session', { ceremony: used.ceremony, response: credentialJson(credential) });
    location.replace(next);
  } catch (fault) {
    if (fault.code === 'passkey_unknown') forget(used.publicKey.rpId, credential.id);
    refused(fault);
  }
}

const BROWSER = {
  NotAllowedError: ['The browser closed the passkey window.', 'Try again. If your key was not offered, look for it by your user name.'],
  AbortError: ['You cancelled it.', 'Try again when you are ready.'],
  SecurityError: ['Your passkeys belong to another address than this one.', 'Open this server at its own address.'],
  NotSupportedError: ['This device cannot do what is asked.', 'Use another passkey, or another device.'],
  InvalidStateError: ['This device does not have that passkey.', 'Use another passkey.'],
};

function refused(fault) {
  busy = false;
  asking = null;
  let words = [fault.description, fault.hint];
  if (!(fault instanceof Failure)) words = BROWSER[fault?.name] ?? BROWSER.NotAllowedError;
  else if (fault.code === 'offline') words = ['No connection.', 'Try again when it is back.'];
  const place = find('[data-step=refused]');
  place.querySelector('[data-description]').textContent = words[0];
  place.querySelector('[data-hint]').textContent = words[1] ?? '';
  place.querySelector('[data-call]').textContent = fault.callId ? `Call ${fault.callId}` : '';
  show('refused');
}

async function look() {
  const name = find('#user').value.trim();
  if (!name) return void find('#user').focus();
  offered?.abort();
  user = name;
  prepared = null;
  busy = true;
  enable();
  const found = await prepare();
  busy = false;
  if (found) show('found');
  else {
    user = null;
    enable();
  }
}

function back() {
  user = null;
  prepared = null;
  busy = false;
  note('');
  show('ask');
  prepare();
}

// Not signing in to an application: it is told so.
async function leave() {
  busy = true;
  enable();
  offered?.abort();
  try {
    await post(`/authorize/${request}/cancel`, {});
    return void location.replace(next);
  } catch (fault) {
    note(fault.code === 'offline' ? 'No connection. Nothing was sent.' : `${fault.description} ${fault.hint}`.trim());
  }
  busy = false;
  enable();
}

const ACTS = { leave, use, find: look, back, cancel: () => asking?.abort(), copy: copyLink };

document.addEventListener('click', ({ target }) => {
  const button = target.closest?.('[data-act]');
  if (button && !button.disabled) ACTS[button.dataset.act]?.(button);
});
find('#user').addEventListener('keydown', (event) => event.key === 'Enter' && !busy && look());
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && renew());
window.addEventListener('online', renew);
window.addEventListener('offline', () => {
  note('No connection. Nothing was sent.');
  enable();
});

if (supported()) prepare();
else show('unsupported');
