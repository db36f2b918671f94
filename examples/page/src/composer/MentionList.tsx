import type { Candidate } from './mentions';
import { Avatar } from '../ui/Avatar';

interface Props {
  id: string;
  candidates: readonly Candidate[];
  active: number;
  onPick(candidate: Candidate): void;
}

/** The completion above the composer. The focus stays in the text; `aria-activedescendant` there tells which option is active. */
export function MentionList({ id, candidates, active, onPick }: Props) {
  return (
    <ul className="mention-list" role="listbox" id={id} aria-label="People to mention">
      {candidates.map((candidate, index) => (
        <li
          key={candidate.id}
          id={`${id}-${index}`}
          role="option"
          aria-selected={index === active}
          className="option"
          onPointerDown={(event) => {
            event.preventDefault();
            onPick(candidate);
          }}
        >
          <Avatar id={candidate.id} name={candidate.name} size="small" kind={candidate.id.startsWith('@') ? 'group' : 'user'} />
          <bdi>{candidate.name}</bdi>
        </li>
      ))}
    </ul>
  );
}
