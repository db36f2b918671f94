import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';
export type Direction = 'ltr' | 'rtl';

interface Appearance {
  theme: Theme;
  direction: Direction;
}

const KEY = 'chat-appearance';
const RTL_LANGUAGES = ['ar', 'he', 'fa', 'ur', 'ps', 'sd', 'ug', 'yi', 'dv'];
const listeners = new Set<() => void>();
let current = load();

function load(): Appearance {
  const language = navigator.language.split('-')[0] ?? '';
  const own: Appearance = { theme: 'system', direction: RTL_LANGUAGES.includes(language) ? 'rtl' : 'ltr' };
  try {
    return { ...own, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Appearance>) };
  } catch {
    return own;
  }
}

export function applyAppearance(): void {
  const root = document.documentElement;
  root.dir = current.direction;
  if (current.theme === 'system') delete root.dataset.theme;
  else root.dataset.theme = current.theme;
}

export function setAppearance(change: Partial<Appearance>): void {
  current = { ...current, ...change };
  applyAppearance();
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // The choice then holds until the page is closed.
  }
  listeners.forEach((listener) => listener());
}

function subscribe(changed: () => void): () => void {
  listeners.add(changed);
  return () => listeners.delete(changed);
}

export const useAppearance = (): Appearance => useSyncExternalStore(subscribe, () => current);
