import type { ConversationSnapshot } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { forwardRef, type KeyboardEvent, useCallback, useImperativeHandle, useMemo, useRef, useState } from 'react';
import { Button } from 'react-aria-components';
import { formatDay, useToday } from '../lib/time';
import { DownIcon } from '../ui/icons';
import { toast } from '../ui/Toasts';
import { MessageRow } from './MessageRow';
import { PendingRow } from './PendingRow';
import { RowList, type RowListHandle } from './RowList';
import { type Row, rowsOf } from './rows';
import { deliveryOf, type Reach, reachOf } from './Ticks';

const PAGE = 100;
/** A jump reads at most this many pages of history. */
const MAX_JUMP_PAGES = 100;
const HIGHLIGHT_MS = 2_000;

interface Props {
  snapshot: ConversationSnapshot;
  unreadAfter: number | undefined;
  isAtBottom: boolean | undefined;
  onAtBottom(isAtBottom: boolean): void;
}

export interface TimelineHandle {
  jump(messageId: string): Promise<void>;
  toBottom(): void;
}

/** The history of a conversation: only the rows near the visible part exist. */
export const Timeline = forwardRef<TimelineHandle, Props>(function Timeline({ snapshot, unreadAfter, isAtBottom, onAtBottom }, ref) {
  const client = useChatClient();
  const me = client.userId;
  const list = useRef<RowListHandle>(null);
  const [highlighted, setHighlighted] = useState<string>();
  const { id, messages, pending, unreadCount, hasOlder } = snapshot;
  const rows = useMemo(() => rowsOf({ messages, pending, me, hasOlder, unreadAfter }), [messages, pending, me, hasOlder, unreadAfter]);
  const reach = reachOf(snapshot, me);
  const latest = useRef(rows);
  latest.current = rows;

  const loadOlder = useCallback(() => client.loadOlder(id, PAGE), [client, id]);
  const loading = useRef(false);
  const reachStart = () => {
    if (!hasOlder || loading.current) return;
    loading.current = true;
    loadOlder()
      .then(() => {
        loading.current = false;
        list.current?.checkStart();
      })
      // At the next scroll it is tried again.
      .catch(() => (loading.current = false));
  };

  const toBottom = useCallback(() => list.current?.toEnd(), []);
  useImperativeHandle(ref, () => ({
    toBottom,
    jump: async (messageId) => {
      const find = () => latest.current.findIndex((row) => row.kind === 'message' && row.message.id === messageId);
      for (let pages = 0; find() < 0 && client.conversation(id).hasOlder && pages < MAX_JUMP_PAGES; pages++) {
        await loadOlder();
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
      const index = find();
      if (index < 0) return toast('This message is no longer here.');
      list.current?.scrollTo(index, 'center');
      setHighlighted(messageId);
      setTimeout(() => setHighlighted((known) => (known === messageId ? undefined : known)), HIGHLIGHT_MS);
    },
  }));

  const [firstShown] = useState(() => {
    const marker = rows.findIndex(({ kind }) => kind === 'unread');
    return marker < 0 ? undefined : marker;
  });

  return (
    <div className="timeline-frame">
      <RowList
        ref={list}
        label="Messages"
        loaded={messages.length}
        rows={rows}
        renderRow={(row) => <RowView row={row as Row} me={me} reach={reach} highlighted={highlighted} />}
        header={hasOlder ? <MoreLine /> : <p className="timeline-start muted">This is the beginning.</p>}
        firstShown={firstShown}
        onAtBottom={onAtBottom}
        onNearStart={reachStart}
        onKeyDown={moveFocus}
      />
      {isAtBottom === false && (
        <Button className="to-bottom" aria-label={unreadCount > 0 ? `To the newest message, ${unreadCount} unread` : 'To the newest message'} onPress={toBottom}>
          <DownIcon />
          {unreadCount > 0 && <span className="badge">{unreadCount}</span>}
        </Button>
      )}
    </div>
  );
});

function MoreLine() {
  return (
    <div className="timeline-start" aria-hidden="true">
      <span className="spinner" />
    </div>
  );
}

interface RowProps {
  row: Row;
  me: string | undefined;
  reach: Reach;
  highlighted: string | undefined;
}

function RowView({ row, me, reach, highlighted }: RowProps) {
  switch (row.kind) {
    case 'day':
      return <DayLine iso={row.iso} />;
    case 'unread':
      return (
        <div className="line unread-line">
          <span>New messages</span>
        </div>
      );
    case 'pending':
      return <PendingRow pending={row.pending} isFirst={row.isFirst} />;
    case 'message':
      return (
        <MessageRow
          message={row.message}
          isFirst={row.isFirst}
          isLast={row.isLast}
          delivery={row.message.senderId === me ? deliveryOf(row.message.seq, reach) : undefined}
          isHighlighted={row.message.id === highlighted}
        />
      );
  }
}

function DayLine({ iso }: { iso: string }) {
  const today = useToday();
  return (
    <div className="line">
      <span>{formatDay(iso, today)}</span>
    </div>
  );
}

/** Arrow keys move the focus from message to message. */
function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return;
  const messages = [...event.currentTarget.querySelectorAll<HTMLElement>('article.message')];
  const target = event.target as HTMLElement;
  const current = messages.findIndex((message) => message === target);
  if (current < 0 && target !== event.currentTarget) return;
  const next = current < 0 ? messages.at(-1) : messages[current + (event.key === 'ArrowUp' ? -1 : 1)];
  if (!next) return;
  event.preventDefault();
  next.focus();
  next.scrollIntoView({ block: 'nearest' });
}
