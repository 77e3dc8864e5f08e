// Home: what waits renews itself, and its clocks run.

import { announce, countDown, post, showTimes } from './passkey.js';
import { telling } from './push.js';

const LOOK = 5_000;
const TITLE = document.title;

const list = document.getElementById('waiting');
const noteAt = document.querySelector('[data-note]');

let count = list.querySelectorAll('.item').length;
let shown = null; // the list as the server told it last

function note(text) {
  noteAt.textContent = text;
  noteAt.hidden = text === '';
}

function tick() {
  countDown(list);
  document.title = count > 0 ? `(${count}) ${TITLE}` : TITLE;
  showTimes();
}

// What of the list does not run by itself.
const still = (html) => html.replace(/(<b data-until="[^"]*">)[^<]*/g, '$1');

async function look() {
  if (document.visibilityState !== 'visible') return;
  try {
    const answer = await fetch('/waiting', { cache: 'no-store', credentials: 'same-origin', headers: { accept: 'application/json' } });
    if (answer.status === 401) return void location.assign('/sign-in');
    if (!answer.ok) throw new Error('no list');
    const told = await answer.json();
    note('');
    if (shown !== null && still(told.html) === still(shown)) return;
    // Whoever is on a card stays on it.
    const at = document.activeElement?.closest?.('#waiting a')?.getAttribute('href');
    list.innerHTML = told.html;
    if (at) list.querySelector(`a[href="${CSS.escape(at)}"]`)?.focus();
    if (shown !== null && told.count > count) announce(told.count === 1 ? '1 request waits for you' : `${told.count} requests wait for you`);
    [shown, count] = [told.html, told.count];
    tick();
  } catch {
    note('No connection. What waits may be out of date.');
  }
}

document.addEventListener('click', async ({ target }) => {
  if (!target.closest?.('[data-act=sign-out]')) return;
  try {
    await post('/sign-out', {});
    location.assign('/sign-in');
  } catch (fault) {
    if (fault.code === 'sign_in_needed') location.assign('/sign-in');
    else note('You are still signed in: this page does not reach the server.');
  }
});
document.addEventListener('visibilitychange', look);
window.addEventListener('online', look);

tick();
telling();
setInterval(tick, 1000);
setInterval(look, LOOK);
