// What pages share: passkey options in and answers out as JSON, calls to the server, times in the reader's zone.
// It stores nothing, and talks to this server alone.

const decode = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0)).buffer;
const encode = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

export const supported = () => Boolean(window.PublicKeyCredential && navigator.credentials?.get && crypto.subtle);

const withIds = (list) => (list ?? []).map((one) => ({ ...one, id: decode(one.id) }));

// Browsers before 2025 lack the two readers; these do the same for the members that this server sends.
export function requestOptions(json) {
  if (PublicKeyCredential.parseRequestOptionsFromJSON) return PublicKeyCredential.parseRequestOptionsFromJSON(json);
  return { ...json, challenge: decode(json.challenge), allowCredentials: withIds(json.allowCredentials) };
}

function creationOptions(json) {
  if (PublicKeyCredential.parseCreationOptionsFromJSON) return PublicKeyCredential.parseCreationOptionsFromJSON(json);
  const user = { ...json.user, id: decode(json.user.id) };
  return { ...json, user, challenge: decode(json.challenge), excludeCredentials: withIds(json.excludeCredentials) };
}

export function credentialJson(credential) {
  if (credential.toJSON) return credential.toJSON();
  const { response } = credential;
  const part = (name) => (response[name] ? { [name]: encode(response[name]) } : {});
  return {
    id: credential.id,
    rawId: encode(credential.rawId),
    type: credential.type,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: {
      ...part('clientDataJSON'), ...part('attestationObject'), ...part('authenticatorData'), ...part('signature'),
      ...part('userHandle'), ...(response.getTransports ? { transports: response.getTransports() } : {}),
    },
  };
}

// Ask the browser inside the tap itself; what it throws at once is told like what it refuses later.
export const makePasskey = (publicKey) => promised(() => navigator.credentials.create({ publicKey: creationOptions(publicKey) }));
export const usePasskey = (publicKey, signal) =>
  promised(() => navigator.credentials.get({ publicKey: requestOptions(publicKey), signal }));

// Where the browser can, it forgets a key that is not known here, so that it is offered no more. Where passkeys are for more
// hosts than this one, another service may know it.
export function forget(rpId, credentialId) {
  if (rpId === location.hostname) PublicKeyCredential.signalUnknownCredential?.({ rpId, credentialId })?.catch(() => {});
}

// The server keeps a ceremony for 300 s: another is fetched before that, and an old one is not used.
export const RENEW = 240_000;
const STALE = 285_000;
export const isStale = (prepared) => !prepared || Date.now() - prepared.at > STALE;

function promised(ask) {
  try {
    return ask();
  } catch (fault) {
    return Promise.reject(fault);
  }
}

export const sha256 = async (text) => encode(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));

// Why a call brought no answer. `code` is the server's `error_code`, or `offline`, or `other`.
export class Failure extends Error {
  constructor(code, body = {}) {
    super(code);
    this.code = code;
    this.description = sentence(body.error_description);
    this.hint = sentence(body.hint);
    this.callId = body.call_id ?? '';
  }
}

// A message of the server (lower-case start, no full stop, values in backticks) as a sentence.
function sentence(message) {
  const text = (message ?? '').replace(/`([^`]*)`/g, '“$1”');
  return text && text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
}

export async function post(path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body), cache: 'no-store', redirect: 'error', credentials: 'same-origin',
    });
  } catch {
    throw new Failure('offline');
  }
  const read = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Failure(read.error_code ?? 'other', read);
  return read;
}

export const find = (selector) => document.querySelector(selector);

// A step of a page in place of the one that was shown.
export function showStep(name) {
  for (const one of document.querySelectorAll('[data-step]')) one.hidden = one.dataset.step !== name;
  const heading = find(`[data-step=${name}] h1`);
  heading.focus();
  announce(heading.innerText);
  window.scrollTo(0, 0);
}

// What went wrong, above all else.
export function note(text) {
  for (const place of document.querySelectorAll('[data-note]')) {
    place.textContent = text;
    place.hidden = text === '';
  }
  if (!text) return;
  announce(text);
  window.scrollTo(0, 0);
}

// One polite line for those who listen.
export function announce(text) {
  document.getElementById('live').textContent = text;
}

// Where the clipboard is closed to us, the reader copies by hand.
export async function copy(button, text, said, byHand) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
    announce(said);
  } catch {
    byHand(text);
  }
}

export const copyLink = (button, link = location.href) => copy(button, link, 'Link copied', () => window.prompt('Copy this link', link));

// The server's clock, as far as this page can know it.
const skew = Date.parse(document.body.dataset.now) - Date.now();
export const now = () => Date.now() + (Number.isFinite(skew) ? skew : 0);

export function clock(seconds) {
  const two = (n) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

// The time left until each of them; under a minute it is marked.
export function countDown(root = document) {
  for (const place of root.querySelectorAll('[data-until]')) {
    const seconds = Math.max(0, Math.floor((Date.parse(place.dataset.until) - now()) / 1000));
    place.textContent = clock(seconds);
    place.parentElement.classList.toggle('soon', seconds <= 60);
  }
}

const zoned = (options) => new Intl.DateTimeFormat('en-GB', options);
const CLOCK = { hour: '2-digit', minute: '2-digit' };
const SHAPES = { clock: CLOCK, second: { ...CLOCK, second: '2-digit' }, date: { day: 'numeric', month: 'short', ...CLOCK } };

function ago(at) {
  const seconds = Math.max(0, Math.floor((now() - at) / 1000));
  if (seconds < 120) return seconds < 1 ? 'just now' : `${seconds} s ago`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

const today = (at) => new Date(at).toDateString() === new Date(now()).toDateString();

export function showTimes(root = document) {
  for (const place of root.querySelectorAll('time[data-as]')) {
    const at = Date.parse(place.dateTime);
    const kind = place.dataset.as;
    const options = kind === 'second' ? SHAPES.second : kind !== 'date' && today(at) ? SHAPES.clock : SHAPES.date;
    const local = zoned(options).format(at).replace(',', '');
    const utc = `${zoned({ ...options, timeZone: 'UTC' }).format(at).replace(',', '')} UTC`;
    place.title = kind === 'ago' ? `${local} · ${utc}` : utc;
    const text = kind === 'ago' ? ago(at) : local;
    if (!place.dataset.whole && place.textContent !== text) place.textContent = text;
  }
}

// A touch shows what hovering shows.
document.addEventListener('click', ({ target }) => {
  const place = target.closest?.('time[data-as]');
  if (!place) return;
  if (place.dataset.whole) {
    delete place.dataset.whole;
    showTimes();
  } else {
    place.dataset.whole = 'yes';
    place.textContent = `${place.textContent} · ${place.title}`;
  }
});
