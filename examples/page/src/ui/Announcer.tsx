import { createContext, type ReactNode, useCallback, useContext, useRef, useState } from 'react';

const Context = createContext<(text: string) => void>(() => undefined);

/** Says a text to screen readers. */
export const useAnnounce = () => useContext(Context);

/**
 * The only live region of the page. Lists are not live themselves: a screen reader would read everything that a page of history or a switch of the
 * conversation inserts.
 */
export function Announcer({ children }: { children: ReactNode }) {
  const [lines, setLines] = useState<{ id: number; text: string }[]>([]);
  const next = useRef(0);
  const announce = useCallback((text: string) => {
    const id = next.current++;
    setLines((known) => [...known.slice(-4), { id, text }]);
    setTimeout(() => setLines((known) => known.filter((line) => line.id !== id)), 5_000);
  }, []);
  return (
    <Context.Provider value={announce}>
      {children}
      <div className="visually-hidden" role="status" aria-live="polite" aria-relevant="additions" data-testid="announcer">
        {lines.map(({ id, text }) => (
          <p key={id}>{text}</p>
        ))}
      </div>
    </Context.Provider>
  );
}
