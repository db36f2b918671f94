import { ChatClient, type ChatClientOptions } from 'chat-service-client';
import { createContext, type ReactNode, useContext, useEffect, useState } from 'react';

const Context = createContext<ChatClient | undefined>(undefined);

export interface ChatProviderProps {
  /** How to reach the service, read once. To change the user, give the provider another `key`. */
  options: ChatClientOptions;
  children: ReactNode;
}

/**
 * Connects one client and gives it to the hooks below. The client connects after the first render and ends when the provider is unmounted;
 * StrictMode's second mounting keeps the same client and socket. On a server it connects nothing.
 */
export function ChatProvider({ options, children }: ChatProviderProps): ReactNode {
  const [lifetime] = useState(() => new Lifetime(options));
  const [client, setClient] = useState(() => lifetime.client);
  useEffect(() => {
    setClient(lifetime.begin());
    return () => lifetime.end();
  }, [lifetime]);
  return <Context.Provider value={client}>{children}</Context.Provider>;
}

/** The client of the nearest provider. */
export function useChatClient(): ChatClient {
  const client = useContext(Context);
  if (!client) throw new Error('useChatClient needs a <ChatProvider> above it.');
  return client;
}

/** Ends the client a moment after the last unmounting, so that a mounting in the same moment keeps it. */
class Lifetime {
  client: ChatClient;
  private isEnded = false;
  private ending: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: ChatClientOptions) {
    this.client = new ChatClient(options);
  }

  begin(): ChatClient {
    clearTimeout(this.ending);
    if (this.isEnded) {
      this.client = new ChatClient(this.options);
      this.isEnded = false;
    }
    return this.client.connect();
  }

  end(): void {
    this.ending = setTimeout(() => {
      this.isEnded = true;
      this.client.disconnect();
    }, 0);
  }
}
