import { Button } from 'react-aria-components';
import { formatSize } from '../lib/files';
import { CloseIcon } from '../ui/icons';
import type { ChosenFile } from './useUploads';

/** The files above the field that the next message will carry. */
export function FileList({ files, onDrop }: { files: readonly ChosenFile[]; onDrop(key: number): void }) {
  if (files.length === 0) return null;
  return (
    <ul className="file-list" aria-label="Files of the message">
      {files.map(({ key, name, size, stored, file }) => (
        <li key={key}>
          <bdi className="file-name">{name}</bdi>
          {file ? <span className="muted">{formatSize(size)}</span> : <progress max={size} value={stored} aria-label={`Upload of ${name}`} />}
          <Button className="icon-button small" aria-label={`Remove ${name}`} onPress={() => onDrop(key)}>
            <CloseIcon />
          </Button>
        </li>
      ))}
    </ul>
  );
}
