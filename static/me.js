// My passkeys, My applications and What I signed: panels in place, and a passkey made inside the tap itself.

import { credentialJson, Failure, find, makePasskey, note, now, post, showStep, showTimes, supported } from './passkey.js';
import { Acts, signIn, signedOut, tell, Touch } from './touch.js';

const { freshUntil, rpId, userId } = document.body.dataset;

function show(name) {
  showStep(name);
  enable();
}

function enable() {
  const add = find('[data-act=add]');
  const make = find('[data-act=make]');
  if (add) add.disabled = !supported() || acts.busy;
  if (make) make.disabled = !touch.prepared || acts.busy || !navigator.onLine;
}

function told(fault) {
  if (fault.code === 'sign_in_stale') {
    return find('[data-step=stale]') ? show('stale') : void location.assign(`${signIn}&again=yes`);
  }
  tell(fault);
}

const acts = new Acts({ enable, told });
const touch = new Touch({
  enable,
  told,
  show,
  fetched: () => post('/me/passkeys/options', {}),
  isWanted: () => !acts.busy && find('[data-step=make]')?.hidden === false,
});

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
  acts.call(pathOf(button, 'remove'), {}, ({ kept }) => {
    // The session may have ended with the key: the next page need not be this one.
    tellWhichAreKept(kept);
    again();
  });
}

const isFresh = () => now() < Date.parse(freshUntil);

// ---- another passkey ------------------------------------------------------------------------------------------

function add() {
  if (!isFresh()) return show('stale');
  touch.prepared = null;
  note('');
  show('make');
  touch.prepare();
}

function make() {
  const used = touch.take();
  if (!used) return;
  acts.busy = true;
  note('');
  const asked = makePasskey(used.publicKey);
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
      if (find('[data-step=make]').hidden === false) touch.prepare();
    })
    .finally(() => {
      acts.busy = false;
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
  save: (button) => acts.call(pathOf(button, 'name'), { name: itemOf(button).querySelector('input').value.trim() }, again),
  remove,
  report: (button) => acts.call(pathOf(button, 'report'), {}, again),
  'ask-forget': (button) => panel(itemOf(button), 'forget'),
  forget: (button) => acts.call(`/me/applications/${itemOf(button).dataset.application}/forget`, {}, again),
  end: (button) => acts.call(`/me/sessions/${itemOf(button).dataset.session}/end`, {}, again),
  'sign-out': () => acts.call('/sign-out', {}, signedOut),
  'sign-out-everywhere': () => acts.call('/sign-out', { everywhere: true }, signedOut),
};

acts.listen(ACTS);
document.addEventListener('keydown', ({ key, target }) => {
  if (key === 'Enter' && target.matches?.('[data-panel=rename] input')) ACTS.save(target);
});
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && touch.renew());
window.addEventListener('online', () => touch.renew());
window.addEventListener('offline', () => note('No connection. Nothing was sent.'));

showTimes();
setInterval(showTimes, 10_000);
// A page that comes back from the browser's memory is an old one.
window.addEventListener('pageshow', ({ persisted }) => persisted && again());
enable();
tellWhichAreKept([...document.querySelectorAll('[data-credential]')].map((item) => item.dataset.credential));
