import { useChatEvent } from 'chat-service-react';
import { useEffect } from 'react';
import { ConversationView } from './ConversationView';
import { Sidebar } from './conversations/Sidebar';
import { useTitle } from './lib/useTitle';
import { useRoute } from './lib/route';
import { Panel } from './panels/Panel';
import type { Session } from './session/session';
import { ConnectionBanner } from './ui/ConnectionBanner';
import { toast } from './ui/Toasts';
import { Logo } from './ui/icons';

/** The three columns. On a narrow screen only the last open one is shown; see styles/layout.css. */
export function Shell({ session, onSignOut }: { session: Session; onSignOut(): void }) {
  const { conversationId, panel } = useRoute();
  useTitle();
  useViewportHeight();
  useChatEvent('problem', ({ where }) => {
    if (where === 'storage') toast('This browser does not let the page store waiting messages. Keep the page open until they are sent.');
  });

  return (
    <main className="shell" data-view={panel ? 'panel' : conversationId ? 'conversation' : 'list'}>
      <h1 className="visually-hidden">Chat</h1>
      <ConnectionBanner />
      <Sidebar session={session} onSignOut={onSignOut} />
      <section className="conversation" aria-label="Conversation">
        {conversationId ? <ConversationView key={conversationId} id={conversationId} /> : <Welcome />}
      </section>
      {conversationId && panel && <Panel key={`${conversationId} ${panel.kind}`} conversationId={conversationId} panel={panel} />}
    </main>
  );
}

function Welcome() {
  return (
    <div className="welcome">
      <Logo className="logo" />
      <h2>Choose a conversation</h2>
      <p className="muted">Or start a new one with the pencil above the list.</p>
    </div>
  );
}

/** Some browsers cover the page with the keyboard instead of making it smaller; then only the visual viewport knows the height that is left. */
function useViewportHeight() {
  useEffect(() => {
    const viewport = window.visualViewport;
    if (!viewport) return;
    const apply = () => {
      const root = document.documentElement;
      const isCovered = viewport.scale === 1 && window.innerHeight - viewport.height > 60;
      root.style.setProperty('--height', isCovered ? `${viewport.height}px` : '');
      root.style.setProperty('--top', isCovered ? `${viewport.offsetTop}px` : '');
    };
    viewport.addEventListener('resize', apply);
    viewport.addEventListener('scroll', apply);
    return () => {
      viewport.removeEventListener('resize', apply);
      viewport.removeEventListener('scroll', apply);
    };
  }, []);
}
