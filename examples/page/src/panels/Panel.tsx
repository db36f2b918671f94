import type { ReactNode } from 'react';
import { Link } from 'react-aria-components';
import { hrefOf, type PanelRoute } from '../lib/route';
import { CloseIcon } from '../ui/icons';
import { MembersPanel } from './MembersPanel';
import { PinsPanel } from './PinsPanel';
import { ThreadPanel } from './ThreadPanel';

interface Props {
  conversationId: string;
  panel: PanelRoute;
}

/** The third column. */
export function Panel({ conversationId, panel }: Props) {
  switch (panel.kind) {
    case 'thread':
      return <ThreadPanel key={panel.messageId} conversationId={conversationId} rootId={panel.messageId} />;
    case 'pins':
      return <PinsPanel conversationId={conversationId} />;
    case 'members':
      return <MembersPanel conversationId={conversationId} />;
  }
}

export function PanelFrame({ conversationId, title, children }: { conversationId: string; title: string; children: ReactNode }) {
  return (
    <section className="panel" aria-label={title}>
      <header className="panel-head">
        <h2>{title}</h2>
        <Link className="icon-button" href={hrefOf({ conversationId })} aria-label="Close the panel">
          <CloseIcon />
        </Link>
      </header>
      {children}
    </section>
  );
}
