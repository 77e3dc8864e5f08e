// One client's page: everything that people gave it ends, after a second thought.

import { Failure, find, note, post } from './passkey.js';

const { here } = document.body.dataset;
const signIn = `/sign-in?next=${encodeURIComponent(here)}`;
let busy = false;

function show(panel) {
  for (const one of document.querySelectorAll('[data-panel]')) one.hidden = one.dataset.panel !== panel;
  find(`[data-panel=${panel}] button`)?.focus();
}

function enable() {
  for (const button of document.querySelectorAll('[data-act]')) button.disabled = busy || !navigator.onLine;
}

async function end() {
  busy = true;
  enable();
  note('');
  try {
    await post(`${here}/end`, {});
    return void location.reload();
  } catch (fault) {
    if (fault instanceof Failure && fault.code === 'sign_in_needed') return void location.assign(signIn);
    if (fault instanceof Failure && fault.code === 'sign_in_stale') return void location.assign(`${signIn}&again=yes`);
    note(fault.code === 'offline' ? 'No connection. Nothing was sent.' : `${fault.description ?? ''} ${fault.hint ?? ''}`.trim());
  }
  busy = false;
  enable();
}

const ACTS = { 'ask-end': () => show('end'), close: () => show('acts'), end };
document.addEventListener('click', ({ target }) => {
  const button = target.closest?.('[data-act]');
  if (button && !button.disabled) ACTS[button.dataset.act]?.();
});
for (const change of ['online', 'offline']) window.addEventListener(change, enable);
enable();
