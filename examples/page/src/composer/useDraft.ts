import { useChatClient } from 'chat-service-react';
import { useCallback, useEffect, useRef, useState } from 'react';

const SAVE_AFTER_MS = 900;

interface Stored {
  text: string;
  isSaved: boolean;
}

/**
 * The text that is being written, per conversation: in this browser at once, so that neither a switch nor a reload loses a letter, and with the
 * service after a pause, for the user's other devices. A text that was written here is never replaced by one of another device.
 */
export function useDraft(conversationId: string, fromService: string | undefined, key = conversationId): [string, (text: string) => void] {
  const client = useChatClient();
  const place = `chat-draft ${client.userId} ${key}`;
  const isShared = key === conversationId;
  const [text, setText] = useState(() => read(place)?.text ?? fromService ?? '');
  const latest = useRef<Stored>({ text, isSaved: read(place)?.isSaved ?? true });
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);

  const save = useCallback(() => {
    clearTimeout(timer.current);
    const { text: saving, isSaved } = latest.current;
    if (isSaved || !isShared) return;
    client
      .call(`/api/conversations/${conversationId}/me`, { method: 'PATCH', body: { draft: saving.trim() === '' ? null : saving }, isRepeatable: true })
      .then(() => {
        if (latest.current.text !== saving) return;
        latest.current.isSaved = true;
        write(place, latest.current);
      })
      .catch(() => undefined); // this browser has it; the next change tries again
  }, [client, conversationId, isShared, place]);

  const change = useCallback(
    (next: string) => {
      setText(next);
      latest.current = { text: next, isSaved: false };
      write(place, latest.current);
      clearTimeout(timer.current);
      timer.current = setTimeout(save, SAVE_AFTER_MS);
    },
    [place, save],
  );

  useEffect(() => save, [save]);

  useEffect(() => {
    const next = fromService ?? '';
    if (!isShared || !latest.current.isSaved || next === latest.current.text) return;
    latest.current = { text: next, isSaved: true };
    write(place, latest.current);
    setText(next);
  }, [fromService, isShared, place]);

  return [text, change];
}

function read(place: string): Stored | undefined {
  try {
    const text = localStorage.getItem(place);
    return text ? (JSON.parse(text) as Stored) : undefined;
  } catch {
    return undefined;
  }
}

function write(place: string, stored: Stored): void {
  try {
    if (stored.text === '' && stored.isSaved) localStorage.removeItem(place);
    else localStorage.setItem(place, JSON.stringify(stored));
  } catch {
    // Without storage the text lives as long as the page.
  }
}
