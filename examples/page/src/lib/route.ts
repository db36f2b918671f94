import { useSyncExternalStore } from 'react';

/** Content of the side panel. A new panel is a new kind here and a case in panels/Panel.tsx. */
export type PanelRoute = { kind: 'thread'; messageId: string } | { kind: 'pins' } | { kind: 'members' };

export interface Route {
  conversationId?: string;
  panel?: PanelRoute;
}

/** The address is `#/c/<conversation>` or `#/c/<conversation>/<panel>`, so that the browser's back button leaves a conversation on a phone. */
function parse(hash: string): Route {
  const [area, conversationId, kind, messageId] = hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);
  if (area !== 'c' || !conversationId) return {};
  if (kind === 'thread' && messageId) return { conversationId, panel: { kind, messageId } };
  if (kind === 'pins' || kind === 'members') return { conversationId, panel: { kind } };
  return { conversationId };
}

export function hrefOf({ conversationId, panel }: Route): string {
  if (!conversationId) return '#/';
  const parts = ['c', conversationId, ...(panel ? [panel.kind] : []), ...(panel?.kind === 'thread' ? [panel.messageId] : [])];
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

export function go(route: Route): void {
  location.hash = hrefOf(route);
}

let known: { hash: string; route: Route } = { hash: '', route: {} };

function current(): Route {
  if (known.hash !== location.hash) known = { hash: location.hash, route: parse(location.hash) };
  return known.route;
}

function subscribe(changed: () => void): () => void {
  window.addEventListener('hashchange', changed);
  return () => window.removeEventListener('hashchange', changed);
}

export const useRoute = (): Route => useSyncExternalStore(subscribe, current);
