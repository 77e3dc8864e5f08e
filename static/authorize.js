// An application's question: the person allows or does not. Where to go afterwards only the server says.

import { Failure, find, note, post } from './passkey.js';

const here = `/authorize/${document.body.dataset.id}`;
let busy = false;

function enable() {
  for (const button of document.querySelectorAll('[data-act]')) button.disabled = busy || !navigator.onLine;
}

async function say(what) {
  if (busy) return;
  busy = true;
  enable();
  note('');
  try {
    await post(`${here}/${what}`, {});
    // On the way back nothing is said twice.
    return void location.replace(here);
  } catch (fault) {
    if (fault instanceof Failure && fault.code === 'sign_in_needed') return void location.replace(here);
    note(fault.code === 'offline' ? 'No connection. Nothing was sent.' : `${fault.description ?? ''} ${fault.hint ?? ''}`.trim());
  }
  busy = false;
  enable();
}

document.addEventListener('click', ({ target }) => {
  const button = target.closest?.('[data-act]');
  if (!button || button.disabled) return;
  say(button.dataset.act === 'allow' ? 'consent' : 'cancel');
});
for (const change of ['online', 'offline']) window.addEventListener(change, enable);
// Whoever comes back to this page sees how things stand now.
window.addEventListener('pageshow', ({ persisted }) => {
  if (persisted) location.reload();
});

find('h1').focus();
enable();
