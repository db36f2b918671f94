/** Asks the open conversation to scroll to a message. */
export function jumpInTimeline(messageId: string): void {
  window.dispatchEvent(new CustomEvent('chat-jump', { detail: messageId }));
}
