import { useChatClient, useChatEvent } from 'chat-service-react';
import { type KeyboardEvent, type RefObject, useId, useMemo, useReducer, useRef, useState } from 'react';
import { type Candidate, EVERYONE, matching, mentionAt } from './mentions';

interface Mentions {
  listId: string;
  candidates: readonly Candidate[];
  active: number;
  /** Names that were chosen, with the ids that they stand for. */
  chosen: Map<string, string>;
  onCaret(text: string, caret: number): void;
  /** Whether the key was used for the list. */
  onKey(event: KeyboardEvent): boolean;
  pick(candidate: Candidate): void;
  close(): void;
}

export function useMentions(input: RefObject<HTMLTextAreaElement | null>, participantIds: readonly string[], setText: (text: string) => void): Mentions {
  const client = useChatClient();
  const listId = useId();
  const chosen = useRef(new Map<string, string>()).current;
  const [place, setPlace] = useState<{ start: number; query: string }>();
  const [active, setActive] = useState(0);
  const [, render] = useReducer((count: number) => count + 1, 0);
  useChatEvent('users', () => place && render());

  const people = useMemo(() => participantIds.filter((id) => id !== client.userId), [client, participantIds]);
  const candidates = place
    ? matching([...people.map((id) => ({ id, name: client.user(id)?.name ?? id })), ...(people.length > 1 ? EVERYONE : [])], place.query)
    : [];

  const pick = ({ id, name }: Candidate) => {
    const field = input.current;
    if (!field || !place) return;
    const before = field.value.slice(0, place.start);
    const after = field.value.slice(place.start + 1 + place.query.length);
    chosen.set(name, id);
    setText(`${before}@${name} ${after}`);
    setPlace(undefined);
    const caret = before.length + name.length + 2;
    requestAnimationFrame(() => field.setSelectionRange(caret, caret));
  };

  const onKey = (event: KeyboardEvent): boolean => {
    if (candidates.length === 0) return false;
    const { key } = event;
    if (key === 'ArrowDown' || key === 'ArrowUp') setActive((active + (key === 'ArrowDown' ? 1 : -1) + candidates.length) % candidates.length);
    else if (key === 'Enter' || key === 'Tab') pick(candidates[active] ?? candidates[0]!);
    else if (key === 'Escape') setPlace(undefined);
    else return false;
    event.preventDefault();
    return true;
  };

  const onCaret = (text: string, caret: number) => {
    setPlace(mentionAt(text, caret));
    setActive(0);
  };

  return { listId, candidates, active, chosen, onCaret, onKey, pick, close: () => setPlace(undefined) };
}
