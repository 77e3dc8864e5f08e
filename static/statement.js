// A statement against the page that shows it: every value of it as a row, and whether the two agree.
// It stores nothing and calls nobody.

export function leaves(value, field = '', found = new Map()) {
  const inner = value !== null && typeof value === 'object' ? Object.entries(value) : [];
  if (inner.length === 0) return found.set(field, value);
  for (const [name, member] of inner) {
    leaves(member, Array.isArray(value) ? `${field}[${name}]` : field ? `${field}.${name}` : name, found);
  }
  return found;
}

const visible = (value) => (typeof value === 'string' ? value : JSON.stringify(value))
  .replace(/[^\x20-\x7e]/gu, (letter) => `\\u{${letter.codePointAt(0).toString(16)}}`);

// Compares the statement with this page, value by value; `whole` is the member that the page must show completely.
export function shows(statement, whole) {
  const signed = leaves(statement);
  for (const row of document.querySelectorAll('#statement [data-exact]')) {
    const { field, exact } = row.dataset;
    if (!signed.has(field) || JSON.stringify(signed.get(field)) !== JSON.stringify(JSON.parse(exact))) return false;
  }
  const known = new Set([...document.querySelectorAll('#statement [data-exact]')].map((row) => row.dataset.field));
  return [...signed.keys()].every((field) => known.has(field) || !field.startsWith(whole));
}

// Puts the values of this one signature into the list.
export function fillList(statement) {
  const list = document.getElementById('statement');
  if (!list) return;
  for (const row of list.querySelectorAll('[data-added]')) row.remove();
  for (const [field, value] of leaves(statement)) {
    let row = list.querySelector(`[data-field="${CSS.escape(field)}"]`);
    if (row?.dataset.exact) continue;
    if (!row) {
      row = document.createElement('div');
      row.dataset.field = field;
      row.dataset.added = 'yes';
      const word = document.createElement('dt');
      const code = document.createElement('code');
      code.textContent = field;
      word.append(field === 'reason' ? 'Reason ' : '', code);
      row.append(word, document.createElement('dd'));
      list.querySelector('[data-field=decision]')?.after(row);
    }
    const shown = document.createElement('bdi');
    shown.textContent = visible(value);
    row.querySelector('dd').replaceChildren(shown);
  }
  const count = document.querySelector('main [data-count]');
  if (count) count.textContent = list.querySelectorAll('[data-field]').length;
}
