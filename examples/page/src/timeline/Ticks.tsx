import type { ConversationSnapshot } from 'chat-service-client';
import { CheckIcon, ChecksIcon, ClockIcon, WarningIcon } from '../ui/icons';

export type Delivery = 'sending' | 'failed' | 'sent' | 'delivered' | 'read';

const LABELS: Record<Delivery, string> = {
  sending: 'Waiting to be sent',
  failed: 'Not sent',
  sent: 'Sent',
  delivered: 'Delivered',
  read: 'Read',
};

export function Ticks({ delivery }: { delivery: Delivery }) {
  const Icon = delivery === 'sending' ? ClockIcon : delivery === 'failed' ? WarningIcon : delivery === 'sent' ? CheckIcon : ChecksIcon;
  return (
    <span className="ticks" data-delivery={delivery} role="img" aria-label={LABELS[delivery]} title={LABELS[delivery]}>
      <Icon width={15} height={15} />
    </span>
  );
}

/** The seqs up to which all other members received and read; `undefined` if that is not known. */
export interface Reach {
  deliveredSeq: number | undefined;
  readSeq: number | undefined;
}

export function reachOf({ conversation, receipts }: ConversationSnapshot, me: string | undefined): Reach {
  // A large conversation lists only its first members, so nothing can be said about all.
  const isComplete = conversation !== undefined && conversation.participantCount === conversation.participantIds.length;
  const others = isComplete ? conversation.participantIds.filter((id) => id !== me) : [];
  if (others.length === 0) return { deliveredSeq: undefined, readSeq: undefined };
  const least = (field: 'readSeq' | 'deliveredSeq') => Math.min(...others.map((id) => receipts.get(id)?.[field] ?? 0));
  return { deliveredSeq: least('deliveredSeq'), readSeq: least('readSeq') };
}

export function deliveryOf(seq: number, { deliveredSeq = 0, readSeq = 0 }: Reach): Delivery {
  return seq <= readSeq ? 'read' : seq <= deliveredSeq ? 'delivered' : 'sent';
}
