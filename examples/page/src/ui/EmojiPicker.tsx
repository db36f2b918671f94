import { lazy, type ReactNode, Suspense } from 'react';
import { Button, Dialog, DialogTrigger, Popover } from 'react-aria-components';

/** Loaded when it is opened first. */
const EmojiGrid = lazy(() => import('./EmojiGrid'));

interface Props {
  children: ReactNode;
  label: string;
  className: string;
  onPick(emoji: string): void;
  onOpenChange?(isOpen: boolean): void;
}

/** A button that opens a picker for emoji. */
export function EmojiButton({ children, label, className, onPick, onOpenChange }: Props) {
  return (
    <DialogTrigger {...(onOpenChange && { onOpenChange })}>
      <Button className={className} aria-label={label}>
        {children}
      </Button>
      <Popover className="popover">
        <Dialog className="emoji-dialog" aria-label={label}>
          {({ close }) => (
            <Suspense fallback={<div className="emoji-picker" />}>
              <EmojiGrid
                onPick={(emoji) => {
                  close();
                  onPick(emoji);
                }}
              />
            </Suspense>
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}
