import type { KeyboardEvent } from 'react';

/**
 * Whether a key press belongs to an input method. Safari ends the composition before the key event, and then only the old key code 229 tells that
 * Enter chose a candidate.
 */
export function isComposing(event: KeyboardEvent): boolean {
  return event.nativeEvent.isComposing || event.keyCode === 229;
}
