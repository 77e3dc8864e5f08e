// The admin's pages: times in the reader's zone, and what is to be copied.

import { announce, showTimes } from './passkey.js';

document.addEventListener('click', async ({ target }) => {
  const button = target.closest?.('[data-copy]');
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
    announce('Copied');
  } catch {
    window.prompt('Copy this line', text);
  }
});

for (const button of document.querySelectorAll('[data-copy]')) button.hidden = false;
showTimes();
setInterval(showTimes, 10_000);
