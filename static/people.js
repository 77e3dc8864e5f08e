// The admin's pages for people. A form proposes; what comes of it is signed on the change's own page.

import { announce, copyLink, Failure, post, showTimes } from './passkey.js';

const main = document.querySelector('main');
let busy = false;

function enable() {
  for (const button of main.querySelectorAll('form button')) button.disabled = busy || !navigator.onLine;
}

// What the form says, in the words of the server's wish.
function wishOf(form) {
  const wish = { act: form.dataset.wish };
  const said = new FormData(form);
  if (wish.act === 'invite') {
    const others = String(said.get('others') ?? '').split(/[\s,]+/).filter(Boolean);
    wish.groups = [...new Set([...said.getAll('groups'), ...others])];
    said.delete('groups');
    said.delete('others');
  }
  for (const [name, value] of said) wish[name] = value.trim();
  return wish;
}

function note(form, text) {
  const place = form.querySelector('[data-note]');
  place.textContent = text;
  place.hidden = text === '';
  if (text) place.focus();
}

async function propose(form) {
  if (busy) return;
  busy = true;
  enable();
  note(form, '');
  try {
    const answer = await post('/admin/people/changes', wishOf(form));
    // On the way to the next page nothing is proposed twice.
    if (!answer.html) return void location.assign(answer.location);
    shown(answer.html);
  } catch (fault) {
    told(form, fault instanceof Failure ? fault : new Failure('other'));
  }
  busy = false;
  enable();
}

function told(form, fault) {
  if (fault.code === 'sign_in_needed') {
    return void location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
  }
  const offline = 'No connection. It is not certain that it was proposed: load the page again as soon as you are back.';
  note(form, fault.code === 'offline' ? offline : `✕ ${fault.description} ${fault.hint}`.trim());
}

// The link of somebody who is to make a passkey: on this page now, and nowhere else.
function shown(html) {
  main.innerHTML = html;
  showTimes(main);
  const heading = main.querySelector('h1');
  document.title = `${heading.innerText} · Countersign`;
  heading.focus();
  announce(heading.innerText);
  window.scrollTo(0, 0);
}

main.addEventListener('submit', (event) => {
  event.preventDefault();
  propose(event.target);
});
main.addEventListener('click', ({ target }) => {
  const button = target.closest?.('[data-act=copy-link]');
  if (button) copyLink(button, main.querySelector('[data-link]').textContent);
});
// Whoever comes back to this page finds no link on it.
window.addEventListener('pagehide', () => {
  if (main.querySelector('[data-link]')) main.replaceChildren();
});
window.addEventListener('pageshow', ({ persisted }) => {
  if (persisted) location.reload();
});
for (const change of ['online', 'offline']) window.addEventListener(change, enable);

showTimes();
setInterval(showTimes, 10_000);
enable();
