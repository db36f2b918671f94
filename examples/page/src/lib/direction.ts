const RTL = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;
const LETTER = /\p{L}/u;
/** Names, addresses and code say nothing about the language of the paragraph around them. */
const NEUTRAL = /`[^`]*`|https?:\/\/\S+|@\S+/g;

/**
 * The direction of a paragraph: that of the script in which most of its letters are. The platform's `dir="auto"` takes the first letter, which is
 * wrong for an Arabic sentence that begins with an English word.
 */
export function directionOf(text: string): 'ltr' | 'rtl' | 'auto' {
  let rtl = 0;
  let ltr = 0;
  for (const letter of text.replace(NEUTRAL, ' ')) {
    if (RTL.test(letter)) rtl += 1;
    else if (LETTER.test(letter)) ltr += 1;
  }
  if (rtl === 0 && ltr === 0) return 'auto';
  return rtl > ltr ? 'rtl' : 'ltr';
}
