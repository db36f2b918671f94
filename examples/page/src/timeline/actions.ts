import type { Message } from 'chat-service-client';
import { createContext, useContext } from 'react';

/** Actions that a row may ask of the view around it. */
export interface RowActions {
  reply(message: Message): void;
  edit(message: Message): void;
  forward(message: Message): void;
  openThread(rootId: string): void;
  /** Scrolls to a message of this conversation, loading history as needed. */
  jump(messageId: string): void;
}

const Context = createContext<RowActions | undefined>(undefined);

export const RowActionsProvider = Context.Provider;

export function useRowActions(): RowActions {
  const actions = useContext(Context);
  if (!actions) throw new Error('useRowActions needs a <RowActionsProvider> above it.');
  return actions;
}
