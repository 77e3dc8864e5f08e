// The admin's pages: times in the reader's zone, what counts down, and what is to be copied.

import { copy, countDown, showTimes } from './passkey.js';

document.addEventListener('click', ({ target }) => {
  const button = target.closest?.('[data-copy]');
  if (!button) return;
  const { textContent } = document.getElementById(button.dataset.copy);
  copy(button, textContent, 'Copied', (text) => window.prompt('Copy this line', text));
});

function tick() {
  countDown();
  showTimes();
}

for (const button of document.querySelectorAll('[data-copy]')) button.hidden = false;
tick();
setInterval(tick, 1000);
