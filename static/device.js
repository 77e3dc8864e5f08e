// A device that asks: its code, what it would get, and the touch that allows it, prepared before and given inside the tap.

import { countDown, find, note, showStep, showTimes, supported } from './passkey.js';
import { Acts, fetchStatement, tell, Touch } from './touch.js';

const { here, id } = document.body.dataset;
const typed = find('#typed');

function show(name) {
  showStep(name);
  enable();
}

function enable() {
  const set = (act, on) => { const button = find(`[data-act=${act}]`); if (button) button.disabled = !on; };
  set('find', !acts.busy && navigator.onLine);
  set('deny', !acts.busy && navigator.onLine);
  set('allow', touch.prepared !== null && !acts.busy && navigator.onLine);
}

function told(fault) {
  // Decided elsewhere, or late: the page says how it stands.
  if (fault.code === 'device_over' && id) return void location.reload();
  tell(fault);
}

const acts = new Acts({ enable, told });
const touch = new Touch({
  enable,
  told,
  show,
  fetched: () => fetchStatement(`${here}/options`, {}, 'device'),
  isWanted: () => find('[data-act=allow]') && supported() && !acts.busy,
});

// ---- wiring ---------------------------------------------------------------------------------------------------

acts.listen({
  allow: () => touch.sign(`${here}/allow`, 'ask', () => location.reload()),
  deny: () => acts.call(`${here}/deny`, {}, () => location.reload()),
  cancel: () => touch.cancel(),
});
typed?.addEventListener('submit', (event) => {
  event.preventDefault();
  acts.call('/device/code', { code: find('#code').value }, ({ page }) => location.assign(`/device/${page}`));
});
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') touch.renew();
});
window.addEventListener('online', () => {
  note('');
  touch.renew();
});
window.addEventListener('offline', () => {
  note('No connection. Nothing was sent.');
  enable();
});
// Whoever comes back to this page sees how things stand now.
window.addEventListener('pageshow', ({ persisted }) => {
  if (persisted) location.reload();
});

showTimes();
countDown();
setInterval(showTimes, 10_000);
setInterval(() => countDown(), 1_000);
if (typed) find('#code').focus();
touch.renew();
