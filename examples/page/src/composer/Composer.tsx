import type { Message } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { type KeyboardEvent, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { Button } from 'react-aria-components';
import { directionOf } from '../lib/direction';
import { isComposing } from '../lib/keys';
import { useName } from '../people/names';
import { EmojiButton } from '../ui/EmojiPicker';
import { AttachIcon, CloseIcon, SendIcon, SmileIcon } from '../ui/icons';
import { attempt } from '../ui/Toasts';
import { FileList } from './FileList';
import { MentionList } from './MentionList';
import { mentionsIn } from './mentions';
import { useDraft } from './useDraft';
import { useMentions } from './useMentions';
import { useUploads } from './useUploads';

export interface ComposerMode {
  kind: 'reply' | 'edit';
  message: Message;
}

interface Props {
  conversationId: string;
  threadId?: string;
  draft?: string | undefined;
  participantIds: readonly string[];
  mode?: ComposerMode | undefined;
  onModeEnd?(): void;
  onSent?(): void;
  /** The arrow up in an empty field. */
  onEditLast?(): void;
}

/** The length that the service accepts by default, in bytes. */
const MAX_BYTES = 16_384;

/** The field to write in. Files are chosen with the button, pasted, or dropped on the field. */
export function Composer({ conversationId, threadId, draft, participantIds, mode, onModeEnd, onSent, onEditLast }: Props) {
  const client = useChatClient();
  const input = useRef<HTMLTextAreaElement>(null);
  const [written, setWritten] = useDraft(conversationId, draft, threadId ?? conversationId);
  const [edited, setEdited] = useState('');
  const isEditing = mode?.kind === 'edit';
  const text = isEditing ? edited : written;
  const setText = isEditing ? setEdited : setWritten;
  const mentions = useMentions(input, participantIds, setText);
  const uploads = useUploads();
  const picker = useRef<HTMLInputElement>(null);
  const attached = isEditing ? [] : uploads.files;
  const isTooLong = new TextEncoder().encode(text).length > MAX_BYTES;
  const isReady = (text.trim() !== '' || attached.length > 0) && !isTooLong && (isEditing || !uploads.isBusy);

  useEffect(() => {
    if (mode?.kind === 'edit') setEdited(mode.message.content);
    if (mode) input.current?.focus();
  }, [mode]);
  useEffect(() => {
    // On a phone the focus would open the keyboard over the history.
    if (matchMedia('(pointer: fine)').matches) input.current?.focus();
  }, []);
  useLayoutEffect(() => {
    const field = input.current;
    if (!field) return;
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`;
  }, [text]);

  const submit = () => {
    if (!isReady) return;
    mentions.close();
    if (mode?.kind === 'edit') {
      const { id, content } = mode.message;
      onModeEnd?.();
      if (edited !== content) void attempt('The message could not be changed.', () => client.edit(id, edited));
      return;
    }
    const mentioned = mentionsIn(text, mentions.chosen);
    setWritten('');
    uploads.clear();
    mentions.chosen.clear();
    // The client keeps the message and shows it as waiting, sent or failed.
    client
      .send(conversationId, {
        content: text.trim(),
        ...(attached.length > 0 && { attachments: attached.flatMap(({ file }) => (file ? [{ url: file.url, name: file.name }] : [])) }),
        ...(threadId && { threadId }),
        ...(mode?.kind === 'reply' && { replyTo: mode.message.id }),
        ...(mentioned.length > 0 && { mentions: mentioned }),
      })
      .catch(() => undefined);
    onModeEnd?.();
    onSent?.();
  };

  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (isComposing(event) || mentions.onKey(event)) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      submit();
    } else if (event.key === 'Escape' && mode) {
      onModeEnd?.();
    } else if (event.key === 'ArrowUp' && text === '' && !mode) {
      onEditLast?.();
    }
  };

  const insert = (emoji: string) => {
    const field = input.current;
    const at = field?.selectionStart ?? text.length;
    setText(text.slice(0, at) + emoji + text.slice(field?.selectionEnd ?? at));
    field?.focus();
  };

  const hasList = mentions.candidates.length > 0;
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
      onDragOver={(event) => event.dataTransfer.types.includes('Files') && event.preventDefault()}
      onDrop={(event) => {
        if (event.dataTransfer.files.length === 0) return;
        event.preventDefault();
        uploads.add(event.dataTransfer.files);
      }}
    >
      {hasList && <MentionList id={mentions.listId} candidates={mentions.candidates} active={mentions.active} onPick={mentions.pick} />}
      <FileList files={attached} onDrop={uploads.drop} />
      {mode && <ModeLine mode={mode} onEnd={() => onModeEnd?.()} />}
      <div className="composer-row">
        <EmojiButton label="Insert an emoji" className="icon-button" onPick={insert}>
          <SmileIcon />
        </EmojiButton>
        {!isEditing && (
          <>
            <Button className="icon-button" aria-label="Attach files" onPress={() => picker.current?.click()}>
              <AttachIcon />
            </Button>
            <input
              ref={picker}
              type="file"
              multiple
              hidden
              onChange={({ target }) => {
                uploads.add(target.files ?? []);
                // The same file may be chosen again.
                target.value = '';
              }}
            />
          </>
        )}
        <textarea
          ref={input}
          className="composer-input"
          rows={1}
          value={text}
          dir={directionOf(text)}
          placeholder={threadId ? 'Reply in the thread' : 'Write a message'}
          aria-label={isEditing ? 'Edit the message' : threadId ? 'Reply in the thread' : 'Message'}
          aria-autocomplete="list"
          aria-controls={hasList ? mentions.listId : undefined}
          aria-activedescendant={hasList ? `${mentions.listId}-${mentions.active}` : undefined}
          aria-invalid={isTooLong || undefined}
          onChange={(event) => {
            setText(event.target.value);
            mentions.onCaret(event.target.value, event.target.selectionStart);
            if (!isEditing) client.type(conversationId);
          }}
          onPaste={(event) => {
            const { files } = event.clipboardData;
            if (isEditing || files.length === 0) return;
            event.preventDefault();
            uploads.add(files);
          }}
          onKeyDown={onKeyDown}
          onBlur={mentions.close}
        />
        <Button type="submit" className="send-button" aria-label={isEditing ? 'Save' : 'Send'} isDisabled={!isReady}>
          <SendIcon className="flips" />
        </Button>
      </div>
      {isTooLong && <p className="composer-note">This is longer than one message may be. Send it in parts.</p>}
    </form>
  );
}

function ModeLine({ mode: { kind, message }, onEnd }: { mode: ComposerMode; onEnd(): void }) {
  const author = useName(message.senderId);
  return (
    <div className="mode-line">
      <div className="mode-text">
        <span className="quote-author">{kind === 'edit' ? 'Edit message' : <>Reply to <bdi>{author}</bdi></>}</span>
        <span className="quote-text" dir={directionOf(message.content)}>
          {message.content || 'Attachment'}
        </span>
      </div>
      <Button className="icon-button small" aria-label={kind === 'edit' ? 'Do not edit' : 'Do not quote'} onPress={onEnd}>
        <CloseIcon />
      </Button>
    </div>
  );
}
