// My GitLab user: a code that is shown once, and what a pipeline brought, signed inside the tap itself.

import { copy, find, note, showStep, showTimes, supported } from './passkey.js';
import { Acts, fetchStatement, signIn, signedOut, tell, Touch } from './touch.js';

const LOOK = 5_000;

const item = find('[data-proof]');
const seen = item ? 1 : 0;

function show(name) {
  showStep(name);
  enable();
}

function enable() {
  const set = (act, on) => { const button = find(`[data-act=${act}]`); if (button) button.disabled = !on; };
  set('code', !acts.busy && navigator.onLine);
  set('forget', !acts.busy && navigator.onLine);
  set('sign', touch.prepared !== null && !acts.busy && navigator.onLine);
}

const acts = new Acts({ enable, told: tell });
const touch = new Touch({
  enable,
  told: tell,
  show,
  fetched: () => fetchStatement('/me/links/options', { proof: item.dataset.proof }, 'user'),
  isWanted: () => item && supported() && !acts.busy,
});

// ---- the code -------------------------------------------------------------------------------------------------

function code() {
  acts.call('/me/links/code', {}, (made) => {
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

function sign() {
  touch.sign('/me/links/signature', 'list', (answer) => {
    touch.signing = null;
    find('[data-log]').textContent = `Log entry ${answer.log}.`;
    find('[data-command]').textContent = `countersign people link PERSON --issuer ${answer.issuer} --user-id ${answer.user_id}`;
    show('done');
  });
}

// ---- wiring ---------------------------------------------------------------------------------------------------

const again = () => location.reload();
acts.listen({
  code,
  copy: copyJob,
  sign,
  cancel: () => touch.cancel(),
  back: () => show('list'),
  done: again,
  forget: () => acts.call('/me/links/forget', { proof: item.dataset.proof }, again),
  'sign-out': () => acts.call('/sign-out', {}, signedOut),
});
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState !== 'visible') return;
  touch.renew();
  look();
});
window.addEventListener('online', () => {
  note('');
  touch.renew();
});
window.addEventListener('offline', () => {
  note('No connection. Nothing was sent.');
  enable();
});

showTimes();
setInterval(showTimes, 10_000);
setInterval(look, LOOK);
touch.renew();
