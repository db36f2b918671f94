import { type AttachmentFile, ChatError } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { useEffect, useRef, useState } from 'react';
import { filesOf } from '../lib/files';
import { toast } from '../ui/Toasts';

/** The number of attachments that a message may have. */
const MAX_FILES = 20;

/** A chosen file, until its message is sent. */
export interface ChosenFile {
  key: number;
  name: string;
  size: number;
  /** The number of stored bytes. */
  stored: number;
  /** The stored file, when the upload is complete. */
  file?: AttachmentFile;
  end: AbortController;
}

/** The files chosen for the next message. They are uploaded at once; those that are taken away, or left behind, are forgotten. */
export function useUploads() {
  const client = useChatClient();
  const [files, setFiles] = useState<readonly ChosenFile[]>([]);
  const current = useRef(files);
  const next = useRef(0);
  const show = (change: (files: readonly ChosenFile[]) => readonly ChosenFile[]) => {
    current.current = change(current.current);
    setFiles(current.current);
  };
  useEffect(() => () => current.current.forEach(({ end }) => end.abort()), []);

  const update = (key: number, change: Partial<ChosenFile>) => show((all) => all.map((one) => (one.key === key ? { ...one, ...change } : one)));
  const remove = (key: number) => show((all) => all.filter((one) => one.key !== key));

  const add = (chosen: Iterable<File>) => {
    for (const file of chosen) {
      if (current.current.length >= MAX_FILES) {
        toast(`A message carries at most ${MAX_FILES} files.`);
        return;
      }
      const one: ChosenFile = { key: next.current++, name: file.name, size: file.size, stored: 0, end: new AbortController() };
      show((all) => [...all, one]);
      filesOf(client)
        .upload(file, { signal: one.end.signal, onProgress: (stored) => update(one.key, { stored }) })
        .then((stored) => update(one.key, { file: stored }))
        .catch((error: unknown) => {
          remove(one.key);
          if (!one.end.signal.aborted) toast(reasonOf(file.name, error));
        });
    }
  };

  return {
    files,
    add,
    /** Takes a file away. */
    drop: (key: number) => {
      current.current.find((one) => one.key === key)?.end.abort();
      remove(key);
    },
    /** Empties the list after its message was handed to the client. */
    clear: () => show(() => []),
    isBusy: files.some(({ file }) => !file),
  };
}

function reasonOf(name: string, error: unknown): string {
  if (error instanceof ChatError && error.code === 'NOT_FOUND') return 'This service stores no files.';
  const reason = error instanceof ChatError ? (error.details[0]?.message ?? error.message) : 'The upload broke.';
  return `${name} could not be attached: ${reason}`;
}
