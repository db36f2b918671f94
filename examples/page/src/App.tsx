import { ChatProvider } from 'chat-service-react';
import { lazy, Suspense, useMemo, useState } from 'react';
import { I18nProvider } from 'react-aria-components';
import { clearSession, loadSession, renewToken, saveSession, type Session } from './session/session';
import { SignIn } from './session/SignIn';
import { useAppearance } from './ui/appearance';
import { Announcer } from './ui/Announcer';
import { Toasts } from './ui/Toasts';

/** Loaded while the user chooses who they are. */
const load = () => import('./Shell').then(({ Shell }) => ({ default: Shell }));
const Shell = lazy(load);
setTimeout(() => void load(), 500);

export function App() {
  const [session, setSession] = useState<Session | undefined>(loadSession);
  const { direction } = useAppearance();

  const signIn = (next: Session) => {
    saveSession(next);
    setSession(next);
  };
  const signOut = () => {
    clearSession();
    location.hash = '';
    setSession(undefined);
  };

  return (
    // The component library takes the direction of arrow keys and overlays from the locale.
    <I18nProvider locale={direction === 'rtl' ? 'ar-u-nu-latn' : navigator.language}>
      <Announcer>
        {session ? <SignedIn key={session.userId} session={session} onSignOut={signOut} /> : <SignIn onSignIn={signIn} />}
        <Toasts />
      </Announcer>
    </I18nProvider>
  );
}

function SignedIn({ session, onSignOut }: { session: Session; onSignOut(): void }) {
  // One client serves one user: the `key` above makes another one for another user.
  const options = useMemo(() => ({ url: location.origin, getToken: () => renewToken(session) }), [session]);
  return (
    <ChatProvider options={options}>
      <Suspense fallback={null}>
        <Shell session={session} onSignOut={onSignOut} />
      </Suspense>
    </ChatProvider>
  );
}
