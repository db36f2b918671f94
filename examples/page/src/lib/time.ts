import { useSyncExternalStore } from 'react';

const time = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' });
const fullDate = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'long', timeStyle: 'medium' });

export const formatTime = (iso: string): string => time.format(new Date(iso));
export const formatExact = (iso: string): string => exact.format(new Date(iso));

/** The calendar day in the reader's time zone, as a number that grows by one per day, also over a change of the clock. */
export function dayOf(moment: string | number | Date): number {
  const at = new Date(moment);
  return Math.round(Date.UTC(at.getFullYear(), at.getMonth(), at.getDate()) / 86_400_000);
}

/** “Today”, “Yesterday”, a weekday of the last days, or a date. */
export function formatDay(iso: string, today: number): string {
  const at = new Date(iso);
  const age = today - dayOf(at);
  if (age === 0) return 'Today';
  if (age === 1) return 'Yesterday';
  if (age > 1 && age < 7) return weekday.format(at);
  return at.getFullYear() === new Date().getFullYear() ? date.format(at) : fullDate.format(at);
}

/** As short as a list allows: the time today, else the day. */
export function formatShort(iso: string, today: number): string {
  return dayOf(iso) === today ? formatTime(iso) : formatDay(iso, today);
}

let day = dayOf(Date.now());
const listeners = new Set<() => void>();

function check(): void {
  const now = dayOf(Date.now());
  if (now === day) return;
  day = now;
  listeners.forEach((listener) => listener());
}

function subscribe(changed: () => void): () => void {
  if (listeners.size === 0) {
    // A timer until midnight would be wrong after sleep and after a change of the clock.
    timer = setInterval(check, 20_000);
    document.addEventListener('visibilitychange', check);
    window.addEventListener('focus', check);
  }
  listeners.add(changed);
  return () => {
    listeners.delete(changed);
    if (listeners.size > 0) return;
    clearInterval(timer);
    document.removeEventListener('visibilitychange', check);
    window.removeEventListener('focus', check);
  };
}
let timer: ReturnType<typeof setInterval> | undefined;

/** Today, as `dayOf` counts; a page that stays open over midnight renders again. */
export const useToday = (): number => useSyncExternalStore(subscribe, () => day);
