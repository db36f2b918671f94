/** A person, or a group of people, that can be mentioned. */
export interface Candidate {
  /** Value in the message: a user id, `@all` or `@here`. */
  id: string;
  /** Text shown after `@`. */
  name: string;
}

export const EVERYONE: readonly Candidate[] = [
  { id: '@all', name: 'all' },
  { id: '@here', name: 'here' },
];

/** The mention that is being written before the caret: `@` at the beginning or after a space, and what follows. */
export function mentionAt(text: string, caret: number): { start: number; query: string } | undefined {
  const found = /(?:^|[\s(])@([\p{L}\p{M}\p{N}._-]{0,40})$/u.exec(text.slice(0, caret));
  return found ? { start: caret - found[1]!.length - 1, query: found[1]! } : undefined;
}

const MAX_SHOWN = 6;

/** Candidates of which a word begins with the query. */
export function matching(candidates: readonly Candidate[], query: string): Candidate[] {
  const wanted = query.toLocaleLowerCase();
  return candidates
    .filter(({ id, name }) =>
      [id, ...name.split(/\s+/)].some((word) => word.toLocaleLowerCase().replace(/^@/, '').startsWith(wanted)),
    )
    .slice(0, MAX_SHOWN);
}

/** The ids that a text mentions, of those that were chosen from the list. */
export function mentionsIn(text: string, chosen: ReadonlyMap<string, string>): string[] {
  return [...new Set([...chosen].filter(([name]) => text.includes(`@${name}`)).map(([, id]) => id))];
}
