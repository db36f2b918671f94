// Watches every notification of a client's conversation, and fails at the first one that shows a message twice, out of order, or gone again.
import assert from 'node:assert/strict';
import type { ChatClient, ConversationSnapshot } from '../../src/index';

export class Observer {
  readonly faults: string[] = [];
  private readonly shown = new Set<string>();
  private readonly settled = new Set<string>();

  constructor(
    private readonly client: ChatClient,
    readonly conversationId: string,
  ) {
    client.subscribe(conversationId, () => this.look(client.conversation(conversationId)));
  }

  private look({ messages, pending }: ConversationSnapshot): void {
    const ids = new Set<string>();
    let last = 0;
    for (const message of messages) {
      if (message.seq <= last) this.fault(`number ${message.seq} comes after ${last}`);
      last = message.seq;
      for (const id of [message.id, message.clientMessageId]) {
        if (id && ids.has(id)) this.fault(`${id} is shown twice`);
        if (id) ids.add(id);
      }
    }
    for (const { item, status } of pending) {
      if (ids.has(item.clientMessageId)) this.fault(`${item.clientMessageId} is shown twice`);
      ids.add(item.clientMessageId);
      if (status === 'sending' && this.settled.has(item.clientMessageId)) this.fault(`${item.clientMessageId} went back to sending`);
      if (status === 'sent') this.settled.add(item.clientMessageId);
    }
    for (const id of this.shown) if (!ids.has(id)) this.fault(`${id} has vanished`);
    for (const id of ids) this.shown.add(id);
  }

  private fault(text: string): void {
    this.faults.push(`${this.client.userId}: ${text}`);
  }

  check(): void {
    assert.deepEqual(this.faults, []);
  }
}
