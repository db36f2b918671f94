import type { PendingMessage } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { Button } from 'react-aria-components';
import { formatTime } from '../lib/time';
import { MessageText } from './MessageText';
import { Quote } from './Quote';
import { Ticks } from './Ticks';

/** An own message that the log does not show yet. */
export function PendingRow({ pending: { item, status }, isFirst }: { pending: PendingMessage; isFirst: boolean }) {
  const client = useChatClient();
  const { body, clientMessageId, writtenAt, error } = item;
  return (
    <article className="message" data-own data-last data-first={isFirst || undefined} data-status={status} tabIndex={-1} aria-label={`You, ${formatTime(writtenAt)}`}>
      <div className="message-body">
        <div className="bubble">
          {body.replyTo && body.conversationId && <Quote conversationId={body.conversationId} messageId={body.replyTo} />}
          <MessageText text={body.content ?? ''} mentions={body.mentions ?? []} />
          {body.attachments?.map(({ url, name }) => (
            <bdi key={url} className="muted">
              {name ?? 'File'}
            </bdi>
          ))}
          <span className="message-footer">
            <time dateTime={writtenAt}>{formatTime(writtenAt)}</time>
            <Ticks delivery={status} />
          </span>
        </div>
        {status === 'failed' && (
          <p className="failure" role="alert">
            Not sent. {error?.message}{' '}
            <Button className="text-button" onPress={() => client.retry(clientMessageId)}>
              Try again
            </Button>{' '}
            <Button className="text-button" onPress={() => client.discard(clientMessageId)}>
              Delete
            </Button>
          </p>
        )}
      </div>
    </article>
  );
}
