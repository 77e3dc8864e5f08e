// What pages of one's own share: acts of which one runs at a time, and a touch that is prepared before and given inside the
// tap itself. What a page draws, fetches and does afterwards, the page says.

import { credentialJson, Failure, isStale, note, post, RENEW, sha256, usePasskey } from './passkey.js';
import { fillList, shows } from './statement.js';

export const signIn = `/sign-in?next=${encodeURIComponent(document.body.dataset.here)}`;
export const signedOut = () => location.assign('/sign-in');

// What the reader is told of a call that failed.
export function tell(fault) {
  if (fault.code === 'sign_in_needed') return void location.assign(signIn);
  if (fault.code === 'mismatch') return void note('What would be signed is not what this page shows. Nothing was signed. Reload it.');
  note(fault.code === 'offline' ? 'No connection. Nothing was sent.' : `${fault.description} ${fault.hint}`.trim());
}

const known = (fault) => (fault instanceof Failure ? fault : new Failure('other'));

// What a touch would sign, where it is what this page shows; `whole` is the member that the page must show completely.
export async function fetchStatement(path, body, whole) {
  const options = await post(path, body);
  const statement = JSON.parse(options.statement);
  if (!shows(statement, whole) || await sha256(options.statement) !== options.publicKey.challenge) throw new Failure('mismatch');
  fillList(statement);
  return options;
}

// Calls to the server. `enable` draws which buttons may be used, `told` says what went wrong.
export class Acts {
  constructor({ enable, told }) {
    Object.assign(this, { enable, told, busy: false });
  }

  async call(path, body, then) {
    if (this.busy) return;
    this.busy = true;
    this.enable();
    note('');
    try {
      then(await post(path, body));
    } catch (fault) {
      this.told(known(fault));
    } finally {
      this.busy = false;
      this.enable();
    }
  }

  // Does what the button says by its `data-act`.
  listen(acts) {
    document.addEventListener('click', ({ target }) => {
      const button = target.closest?.('[data-act]');
      if (button && !button.disabled) acts[button.dataset.act]?.(button);
    });
  }
}

// A ceremony that is ready for a tap: `fetched` gets it, `isWanted` says whether this page wants one just now.
export class Touch {
  constructor({ enable, told, show, fetched, isWanted }) {
    Object.assign(this, { enable, told, show, fetched, isWanted, prepared: null, signing: null, timer: 0 });
  }

  async prepare() {
    clearTimeout(this.timer);
    try {
      this.prepared = { ...(await this.fetched()), at: Date.now() };
      this.timer = setTimeout(() => this.renew(), RENEW);
    } catch (fault) {
      this.prepared = null;
      this.told(known(fault));
    } finally {
      this.enable();
    }
  }

  renew() {
    if (this.signing || !this.isWanted()) return void this.enable();
    if (isStale(this.prepared)) this.prepared = null;
    this.enable();
    this.prepare();
  }

  // What this tap uses up; nothing where it is too old.
  take() {
    const used = this.prepared;
    if (isStale(used)) return void this.renew();
    this.prepared = null;
    clearTimeout(this.timer);
    return used;
  }

  // Runs inside the tap itself: nothing may be awaited before the passkey window is asked for. Where nothing came of it, the
  // page is at `step` again.
  sign(path, step, then) {
    const used = this.take();
    if (!used) return;
    this.signing = new AbortController();
    const asked = usePasskey(used.publicKey, this.signing.signal);
    note('');
    this.show('signing');
    asked
      .then((credential) => post(path, { ceremony: used.ceremony, response: credentialJson(credential) }))
      .then(then)
      .catch((fault) => {
        this.signing = null;
        this.show(step);
        if (fault instanceof Failure) this.told(fault);
        else note('Nothing was signed. The browser closed the passkey window.');
        this.prepare();
      });
  }

  cancel() {
    this.signing?.abort();
  }
}
