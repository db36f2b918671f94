import { useSyncExternalStore } from 'react';

const isVisible = () => document.visibilityState === 'visible' && document.hasFocus();

function subscribe(changed: () => void): () => void {
  document.addEventListener('visibilitychange', changed);
  window.addEventListener('focus', changed);
  window.addEventListener('blur', changed);
  return () => {
    document.removeEventListener('visibilitychange', changed);
    window.removeEventListener('focus', changed);
    window.removeEventListener('blur', changed);
  };
}

/** Whether the user looks at this page. */
export const useIsVisible = (): boolean => useSyncExternalStore(subscribe, isVisible);
