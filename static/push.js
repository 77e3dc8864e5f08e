// Home: whether this device is told when something waits, and the way to ask for it.

import { announce, Failure, post } from './passkey.js';

const place = document.querySelector('[data-push-key]');
const find = (name) => place.querySelector(`[data-push=${name}]`);
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');

const PATIENCE = 20_000; // where a push service cannot be reached, some browsers never say so

const within = (promise) => Promise.race([promise, new Promise((_, no) => { setTimeout(() => no(new Error('no answer')), PATIENCE); })]);

const possible = () => Boolean('serviceWorker' in navigator && window.PushManager && window.Notification && crypto.subtle);

async function subscription() {
  const registration = await navigator.serviceWorker.getRegistration('/');
  return registration?.pushManager.getSubscription() ?? null;
}

// The page names devices by the digest of their address: this one knows itself.
async function row(endpoint) {
  const digest = hex(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(new URL(endpoint).href)));
  return place.querySelector(`[data-device="${digest}"]`);
}

async function state() {
  if (!possible()) return 'none';
  const own = await subscription();
  const listed = own && (await row(own.endpoint));
  if (listed) {
    listed.querySelector('[data-here]').hidden = false;
    return 'told';
  }
  return Notification.permission === 'denied' ? 'denied' : 'ask';
}

function draw(name) {
  for (const one of place.querySelectorAll('[data-push]')) one.hidden = one.dataset.push !== name;
}

function note(text) {
  const at = place.querySelector('[data-push-note]');
  at.textContent = text;
  at.hidden = text === '';
  if (text) announce(text);
}

const told = (fault) =>
  fault instanceof Failure && fault.code !== 'offline' ? `${fault.description} ${fault.hint}`.trim() : 'Nothing was changed. The browser reaches no push service.';

async function ask(button) {
  button.disabled = true;
  note('');
  try {
    if ((await Notification.requestPermission()) !== 'granted') return draw(Notification.permission === 'denied' ? 'denied' : 'ask');
    const registration = await navigator.serviceWorker.register('/sw.js', { scope: '/', updateViaCache: 'none' });
    await navigator.serviceWorker.ready;
    // One of another key, or that was stopped here, is of no use any more.
    await (await registration.pushManager.getSubscription())?.unsubscribe();
    note('Your browser asks its push service…');
    const made = await within(registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(place.dataset.pushKey) }));
    const { endpoint, keys } = made.toJSON();
    await post('/me/push', { endpoint, p256dh: keys.p256dh, auth: keys.auth });
    location.reload();
  } catch (fault) {
    if (fault.code === 'sign_in_needed') return void location.assign('/sign-in');
    note(told(fault));
    // Whatever was made meanwhile is of no use.
    await (await subscription().catch(() => null))?.unsubscribe().catch(() => {});
  } finally {
    button.disabled = false;
  }
}

async function stop(button) {
  const item = button.closest('[data-device]');
  button.disabled = true;
  note('');
  try {
    await post(`/me/push/${item.dataset.number}/stop`, {});
    const own = possible() ? await subscription() : null;
    if (own && (await row(own.endpoint)) === item) await own.unsubscribe();
    location.reload();
  } catch (fault) {
    if (fault.code === 'sign_in_needed') return void location.assign('/sign-in');
    note(fault.code === 'offline' ? 'No connection. Nothing was sent.' : told(fault));
    button.disabled = false;
  }
}

export function telling() {
  if (!place) return;
  place.addEventListener('click', ({ target }) => {
    const button = target.closest?.('button');
    if (button?.dataset.act === 'push') ask(button);
    if (button?.dataset.act === 'push-stop') stop(button);
  });
  state().then(draw, () => draw('none'));
}
