import { useNames } from '../people/names';

const SHOWN = 3;

/** Names of the users who are writing or recording. It is not a live region: it would interrupt a screen reader all the time. */
export function TypingLine({ active }: { active: readonly { userId: string; type: string }[] }) {
  const names = useNames(active.slice(0, SHOWN).map(({ userId }) => userId));
  const verb = active.every(({ type }) => type === 'recording') ? 'recording' : 'typing';
  const text = active.length === 0 ? '' : active.length > SHOWN ? `Several people are ${verb}` : `${names} ${active.length === 1 ? 'is' : 'are'} ${verb}`;
  return (
    <p className="typing-line">
      {text && (
        <>
          <span className="typing-dots" aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
          <bdi>{text}</bdi>
        </>
      )}
    </p>
  );
}
