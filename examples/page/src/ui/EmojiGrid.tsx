import { EmojiPicker as Picker, type EmojiPickerListEmojiProps, type EmojiPickerListRowProps } from 'frimousse';

const plusOne = (index: number | undefined) => (index === undefined ? undefined : index + 1);

/** The library counts rows and columns from 0, which ARIA does not allow. */
const COMPONENTS = {
  Row: ({ children, ...props }: EmojiPickerListRowProps) => (
    <div {...props} aria-rowindex={plusOne(props['aria-rowindex'])}>
      {children}
    </div>
  ),
  Emoji: ({ emoji, ...props }: EmojiPickerListEmojiProps) => (
    <button {...props} aria-colindex={plusOne(props['aria-colindex'])} data-active={emoji.isActive || undefined}>
      {emoji.emoji}
    </button>
  ),
};

/** The emoji with a search. Its list is part of the build; see vite.config.ts. */
export default function EmojiGrid({ onPick }: { onPick(emoji: string): void }) {
  return (
    <Picker.Root className="emoji-picker" emojibaseUrl="/emoji" columns={8} onEmojiSelect={({ emoji }) => onPick(emoji)}>
      <Picker.Search className="field" aria-label="Search emoji" placeholder="Search emoji" autoFocus />
      <Picker.Viewport className="emoji-viewport">
        <Picker.Loading className="muted">Loading …</Picker.Loading>
        <Picker.Empty className="muted">Nothing found.</Picker.Empty>
        <Picker.List className="emoji-list" components={COMPONENTS} />
      </Picker.Viewport>
    </Picker.Root>
  );
}
