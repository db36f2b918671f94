import { ChatError } from 'chat-service-client';
import { Button, Text, UNSTABLE_Toast as Toast, UNSTABLE_ToastContent as ToastContent, UNSTABLE_ToastQueue as ToastQueue, UNSTABLE_ToastRegion as ToastRegion } from 'react-aria-components';
import { CloseIcon } from './icons';

const queue = new ToastQueue<string>({ maxVisibleToasts: 3 });

export function toast(text: string): void {
  queue.add(text, { timeout: 6_000 });
}

/** Runs an action and shows why it failed. */
export async function attempt(what: string, action: () => Promise<unknown>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof ChatError && error.code === 'DISCONNECTED')) toast(`${what} ${error instanceof Error ? error.message : ''}`.trim());
    return false;
  }
}

export function Toasts() {
  return (
    <ToastRegion queue={queue} className="toasts">
      {({ toast: item }) => (
        <Toast toast={item} className="toast">
          <ToastContent>
            <Text slot="title">{item.content}</Text>
          </ToastContent>
          <Button slot="close" aria-label="Close" className="icon-button small">
            <CloseIcon />
          </Button>
        </Toast>
      )}
    </ToastRegion>
  );
}
