// A device that asks: its code, what it would get, and the touch that allows it, prepared before and given inside the tap.

import { countDown, credentialJson, Failure, find, note, post, sha256, showStep, showTimes, supported, usePasskey } from './passkey.js';
import { fillList, shows } from './statement.js';

const RENEW = 240_000; // the server keeps a ceremony for 300 s
const STALE = 285_000;

const { here, id } = document.body.dataset;
const signIn = `/sign-in?next=${encodeURIComponent(here)}`;
const typed = find('#typed');

let prepared = null;
let signing = null;
let busy = false;
let timer = 0;

function show(name) {
  showStep(name);
  enable();
}

function enable() {
  const set = (act, on) => { const button = find(`[data-act=${act}]`); if (button) button.disabled = !on; };
  set('find', !busy && navigator.onLine);
  set('deny', !busy && navigator.onLine);
  set('allow', prepared !== null && !busy && navigator.onLine);
}

function told(fault) {
  if (fault.code === 'sign_in_needed') return void location.assign(signIn);
  // Decided elsewhere, or late: the page says how it stands.
  if (fault.code === 'device_over' && id) return void location.reload();
  if (fault.code === 'mismatch') return void note('What would be signed is not what this page shows. Nothing was signed. Reload it.');
  note(fault.code === 'offline' ? 'No connection. Nothing was sent.' : `${fault.description ?? ''} ${fault.hint ?? ''}`.trim());
}

async function act(path, body, then) {
  if (busy) return;
  busy = true;
  enable();
  note('');
  try {
    then(await post(path, body));
  } catch (fault) {
    told(fault instanceof Failure ? fault : new Failure('other'));
  } finally {
    busy = false;
    enable();
  }
}

// ---- the touch ------------------------------------------------------------------------------------------------

async function prepare() {
  if (!find('[data-act=allow]') || !supported()) return;
  clearTimeout(timer);
  try {
    const options = await post(`${here}/options`, {});
    const statement = JSON.parse(options.statement);
    if (!shows(statement, 'device') || await sha256(options.statement) !== options.publicKey.challenge) throw new Failure('mismatch');
    prepared = { ceremony: options.ceremony, publicKey: options.publicKey, at: Date.now() };
    fillList(statement);
    timer = setTimeout(renew, RENEW);
  } catch (fault) {
    prepared = null;
    told(fault instanceof Failure ? fault : new Failure('other'));
  } finally {
    enable();
  }
}

function renew() {
  if (signing || busy) return;
  if (prepared && Date.now() - prepared.at > STALE) prepared = null;
  enable();
  prepare();
}

function allow() {
  const used = prepared;
  if (!used || Date.now() - used.at > STALE) return renew();
  signing = new AbortController();
  const asked = usePasskey(used.publicKey, signing.signal);
  prepared = null;
  clearTimeout(timer);
  note('');
  show('signing');
  asked
    .then((credential) => post(`${here}/allow`, { ceremony: used.ceremony, response: credentialJson(credential) }))
    .then(() => location.reload())
    .catch((fault) => {
      signing = null;
      show('ask');
      if (fault instanceof Failure) told(fault);
      else note('Nothing was signed. The browser closed the passkey window.');
      prepare();
    });
}

// ---- wiring ---------------------------------------------------------------------------------------------------

const ACTS = {
  allow,
  deny: () => act(`${here}/deny`, {}, () => location.reload()),
  cancel: () => signing?.abort(),
};

document.addEventListener('click', ({ target }) => {
  const button = target.closest?.('[data-act]');
  if (button && !button.disabled) ACTS[button.dataset.act]?.(button);
});
typed?.addEventListener('submit', (event) => {
  event.preventDefault();
  act('/device/code', { code: find('#code').value }, ({ page }) => location.assign(`/device/${page}`));
});
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') renew();
});
window.addEventListener('online', () => {
  note('');
  renew();
});
window.addEventListener('offline', () => {
  note('No connection. Nothing was sent.');
  enable();
});
// Whoever comes back to this page sees how things stand now.
window.addEventListener('pageshow', ({ persisted }) => {
  if (persisted) location.reload();
});

showTimes();
countDown();
setInterval(showTimes, 10_000);
setInterval(() => countDown(), 1_000);
enable();
if (typed) find('#code').focus();
prepare();
