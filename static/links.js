// My GitLab user: a code that is shown once, and what a pipeline brought, signed inside the tap itself.

import { copy, credentialJson, Failure, find, note, post, sha256, showStep, showTimes, supported, usePasskey } from './passkey.js';
import { fillList, shows } from './statement.js';

const LOOK = 5_000;
const RENEW = 240_000; // the server keeps a ceremony for 300 s
const STALE = 285_000;

const signIn = `/sign-in?next=${encodeURIComponent(document.body.dataset.here)}`;
const item = find('[data-proof]');

let prepared = null;
let signing = null;
let busy = false;
let timer = 0;
let seen = 0;

function show(name) {
  showStep(name);
  enable();
}

function enable() {
  const set = (act, on) => { const button = find(`[data-act=${act}]`); if (button) button.disabled = !on; };
  set('code', !busy && navigator.onLine);
  set('forget', !busy && navigator.onLine);
  set('sign', prepared !== null && !busy && navigator.onLine);
}

function told(fault) {
  if (fault.code === 'sign_in_needed') return void location.assign(signIn);
  if (fault.code === 'mismatch') return void note('What would be signed is not what this page shows. Nothing was signed. Reload it.');
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

// ---- the code -------------------------------------------------------------------------------------------------

function code() {
  act('/me/links/code', {}, (made) => {
    find('[data-job]').textContent = made.job;
    show('code');
  });
}

async function look() {
  if (document.visibilityState !== 'visible' || find('[data-step=code]').hidden) return;
  try {
    const answer = await fetch('/me/links/brought', { cache: 'no-store', credentials: 'same-origin', headers: { accept: 'application/json' } });
    if (answer.status === 401) return void location.assign(signIn);
    if (answer.ok && (await answer.json()).brought > seen) location.reload();
  } catch {
    note('No connection. This page cannot see your pipeline.');
  }
}

const copyJob = (button) => {
  const job = find('[data-job]');
  copy(button, job.textContent, 'Job copied', () => getSelection().selectAllChildren(job));
};

// ---- the signature --------------------------------------------------------------------------------------------

async function prepare() {
  if (!item || !supported()) return;
  clearTimeout(timer);
  try {
    const options = await post('/me/links/options', { proof: item.dataset.proof });
    const statement = JSON.parse(options.statement);
    if (!shows(statement, 'user') || await sha256(options.statement) !== options.publicKey.challenge) throw new Failure('mismatch');
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
  if (!item || signing || busy) return;
  if (prepared && Date.now() - prepared.at > STALE) prepared = null;
  enable();
  prepare();
}

function sign() {
  const used = prepared;
  if (!used || Date.now() - used.at > STALE) return renew();
  signing = new AbortController();
  const asked = usePasskey(used.publicKey, signing.signal);
  prepared = null;
  clearTimeout(timer);
  note('');
  show('signing');
  asked
    .then((credential) => post('/me/links/signature', { ceremony: used.ceremony, response: credentialJson(credential) }))
    .then((answer) => {
      signing = null;
      find('[data-log]').textContent = `Log entry ${answer.log}.`;
      find('[data-command]').textContent = `countersign people link PERSON --issuer ${answer.issuer} --user-id ${answer.user_id}`;
      show('done');
    })
    .catch((fault) => {
      signing = null;
      show('list');
      if (fault instanceof Failure) told(fault);
      else note('Nothing was signed. The browser closed the passkey window.');
      prepare();
    });
}

// ---- wiring ---------------------------------------------------------------------------------------------------

const again = () => location.reload();
const ACTS = {
  code,
  copy: copyJob,
  sign,
  cancel: () => signing?.abort(),
  back: () => show('list'),
  done: again,
  forget: () => act('/me/links/forget', { proof: item.dataset.proof }, again),
  'sign-out': () => act('/sign-out', {}, () => location.assign('/sign-in')),
};

document.addEventListener('click', ({ target }) => {
  const button = target.closest?.('[data-act]');
  if (button && !button.disabled) ACTS[button.dataset.act]?.(button);
});
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState !== 'visible') return;
  renew();
  look();
});
window.addEventListener('online', () => {
  note('');
  renew();
});
window.addEventListener('offline', () => {
  note('No connection. Nothing was sent.');
  enable();
});

seen = item ? 1 : 0;
showTimes();
setInterval(showTimes, 10_000);
setInterval(look, LOOK);
enable();
prepare();
