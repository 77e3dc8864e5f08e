// An application asks to sign out: the person's word, then the way back to the application.

import { find, note, post } from './passkey.js';

find('[data-act=sign-out]').addEventListener('click', async () => {
  try {
    await post('/sign-out', {});
  } catch (fault) {
    if (fault.code !== 'sign_in_needed') return note('You are still signed in: this page does not reach the server.');
  }
  location.assign(document.body.dataset.there ?? '/logout');
});
