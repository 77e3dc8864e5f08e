// My passkeys, My applications and What I signed: panels in place, and a passkey made inside the tap itself.

import { credentialJson, Failure, find, makePasskey, note, now, post, showStep, showTimes, supported } from './passkey.js';

const RENEW = 240_000; // the server keeps a ceremony for 300 s
const STALE = 285_000;

const { here, freshUntil, rpId, userId } = document.body.dataset;
const signIn = `/sign-in?next=${encodeURIComponent(here)}`;

let prepared = null;
let timer = 0;
let busy = false;

function show(name) {
  showStep(name);
  enable();
}

function enable() {
  const add = find('[data-act=add]');
  const make = find('[data-act=make]');
  if (add) add.disabled = !supported() || busy;
  if (make) make.disabled = !prepared || busy || !navigator.onLine;
}

function told(fault) {
  if (fault.code === 'sign_in_needed') return void location.assign(signIn);
  if (fault.code === 'sign_in_stale') {
    return find('[data-step=stale]') ? show('stale') : void location.assign(`${signIn}&again=yes`);
  }
  note(fault.code === 'offline' ? 'No connection. Nothing was sent.' : `${fault.description} ${fault.hint}`.trim());
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

// ---- rows -----------------------------------------------------------------------------------------------------

function panel(item, name) {
  for (const one of item.querySelectorAll('[data-panel]')) one.hidden = one.dataset.panel !== name;
  (item.querySelector(`[data-panel=${name}] input`) ?? item.querySelector(`[data-panel=${name}] button`))?.focus();
}

const again = () => location.reload();
const itemOf = (button) => button.closest('.item');
const pathOf = (button, what) => `/me/passkeys/${itemOf(button).dataset.passkey}/${what}`;

// Where the browser can, it forgets the keys that were removed, here or elsewhere, so that it offers them no more. Those
// that are suspended may come back, and stay.
function tellWhichAreKept(kept) {
  if (!userId) return;
  window.PublicKeyCredential?.signalAllAcceptedCredentials?.({ rpId, userId, allAcceptedCredentialIds: kept })?.catch(() => {});
}

function remove(button) {
  act(pathOf(button, 'remove'), {}, ({ kept }) => {
    // The session may have ended with the key: the next page need not be this one.
    tellWhichAreKept(kept);
    again();
  });
}

const isFresh = () => now() < Date.parse(freshUntil);

// ---- another passkey ------------------------------------------------------------------------------------------

function add() {
  if (!isFresh()) return show('stale');
  prepared = null;
  note('');
  show('make');
  prepare();
}

async function prepare() {
  clearTimeout(timer);
  try {
    prepared = { ...(await post('/me/passkeys/options', {})), at: Date.now() };
    timer = setTimeout(renew, RENEW);
  } catch (fault) {
    prepared = null;
    told(fault);
  } finally {
    enable();
  }
}

function renew() {
  if (busy || find('[data-step=make]')?.hidden !== false) return;
  if (prepared && Date.now() - prepared.at > STALE) prepared = null;
  enable();
  prepare();
}

function make() {
  const used = prepared;
  if (!used || Date.now() - used.at > STALE) return renew();
  busy = true;
  note('');
  const asked = makePasskey(used.publicKey);
  prepared = null;
  clearTimeout(timer);
  enable();
  asked
    .then((credential) => post('/me/passkeys/new', { ceremony: used.ceremony, response: credentialJson(credential) }))
    .then(({ passkey }) => {
      const place = find('[data-step=made] [data-description]');
      place.textContent = `It is called “${passkey.name}”${passkey.claimed ? ', as it claims to be' : ''}. It signs you in from now on, and approves in an hour.`;
      show('made');
    })
    .catch((fault) => {
      if (fault instanceof Failure) told(fault);
      else note(fault?.name === 'InvalidStateError' ? 'This passkey is yours already. Use another.' : 'Nothing was made. The browser closed the passkey window.');
      if (find('[data-step=make]').hidden === false) prepare();
    })
    .finally(() => {
      busy = false;
      enable();
    });
}

// ---- wiring ---------------------------------------------------------------------------------------------------

const ACTS = {
  add,
  make,
  back: () => show('list'),
  done: again,
  close: (button) => panel(itemOf(button), 'acts'),
  rename: (button) => panel(itemOf(button), 'rename'),
  'ask-report': (button) => panel(itemOf(button), 'report'),
  'ask-remove': (button) => (isFresh() ? panel(itemOf(button), 'remove') : show('stale')),
  save: (button) => act(pathOf(button, 'name'), { name: itemOf(button).querySelector('input').value.trim() }, again),
  remove,
  report: (button) => act(pathOf(button, 'report'), {}, again),
  'ask-forget': (button) => panel(itemOf(button), 'forget'),
  forget: (button) => act(`/me/applications/${itemOf(button).dataset.application}/forget`, {}, again),
  end: (button) => act(`/me/sessions/${itemOf(button).dataset.session}/end`, {}, again),
  'sign-out': () => act('/sign-out', {}, () => location.assign('/sign-in')),
  'sign-out-everywhere': () => act('/sign-out', { everywhere: true }, () => location.assign('/sign-in')),
};

document.addEventListener('click', ({ target }) => {
  const button = target.closest?.('[data-act]');
  if (button && !button.disabled) ACTS[button.dataset.act]?.(button);
});
document.addEventListener('keydown', ({ key, target }) => {
  if (key === 'Enter' && target.matches?.('[data-panel=rename] input')) ACTS.save(target);
});
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && renew());
window.addEventListener('online', renew);
window.addEventListener('offline', () => note('No connection. Nothing was sent.'));

showTimes();
setInterval(showTimes, 10_000);
// A page that comes back from the browser's memory is an old one.
window.addEventListener('pageshow', ({ persisted }) => persisted && again());
enable();
tellWhichAreKept([...document.querySelectorAll('[data-credential]')].map((item) => item.dataset.credential));
