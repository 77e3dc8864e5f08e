// Shows that something waits, and opens its page. It keeps nothing, fetches nothing, and decides nothing.

const LOCAL = /^\/(a\/[A-Za-z0-9_-]{1,64})?$/;

function read(event) {
  try {
    return event.data?.json() ?? {};
  } catch {
    return {};
  }
}

function words({ count, over, until }) {
  if (over) return 'No longer waits.';
  if (count) return count === 1 ? '1 more request waits for you.' : `${count} more requests wait for you.`;
  const end = new Date(until ?? '');
  if (Number.isNaN(end.getTime())) return 'Waits for you.';
  return `Waits for you until ${end.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}.`;
}

self.addEventListener('push', (event) => {
  const told = read(event);
  const path = LOCAL.test(told.path ?? '') ? told.path : '/';
  // What is over takes the place of what it was, without a sound.
  event.waitUntil(self.registration.showNotification(String(told.place ?? 'Countersign'), {
    body: words(told), tag: String(told.tag ?? 'countersign'), icon: '/static/icon.png', silent: Boolean(told.over), data: { path },
  }));
});

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow(event.notification.data?.path ?? '/'));
});
