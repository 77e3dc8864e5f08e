// An enrolment link where somebody else is signed in: sign out here, then the link opens.

import { announce, post } from './passkey.js';

document.querySelector('[data-act=sign-out]').addEventListener('click', async () => {
  try {
    await post('/sign-out', {});
  } catch (fault) {
    if (fault.code !== 'sign_in_needed') {
      const place = document.querySelector('[data-note]');
      place.textContent = 'You are still signed in: this page does not reach the server.';
      place.hidden = false;
      return void announce(place.textContent);
    }
  }
  location.reload();
});
