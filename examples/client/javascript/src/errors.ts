/** One fault of a field, as the service reports it. */
export interface FieldFault {
  field: string;
  message: string;
}

/** The codes that this client adds to those of the service. */
export type ClientErrorCode =
  /** The client was disconnected or destroyed while the call waited. */
  | 'DISCONNECTED'
  /** The service closed the connection with a code that forbids to come back. */
  | 'STOPPED'
  /** No answer came in time; the outcome is unknown. */
  | 'TIMEOUT'
  /** The network did not carry the request. */
  | 'NETWORK'
  /** A token of another user was provided. */
  | 'USER_CHANGED';

/**
 * The failure of a call. `code` is for programs: a code of the service (`VALIDATION_ERROR`, `NOT_FOUND`, ...) or of this client.
 * `isFinal` tells whether the same call can never succeed: then repeating it is useless.
 */
export class ChatError extends Error {
  override readonly name = 'ChatError';
  readonly code: string;
  readonly status: number | undefined;
  readonly details: FieldFault[];
  readonly retryAfterMs: number | undefined;

  constructor(
    code: string,
    message: string,
    more: { status?: number; details?: FieldFault[]; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message);
    this.code = code;
    this.status = more.status;
    this.details = more.details ?? [];
    this.retryAfterMs = more.retryAfterMs;
    if (more.cause !== undefined) (this as { cause?: unknown }).cause = more.cause;
  }

  get isFinal(): boolean {
    return !TRANSIENT.has(this.code);
  }
}

const TRANSIENT = new Set(['UNAVAILABLE', 'RATE_LIMITED', 'TIMEOUT', 'NETWORK', 'DISCONNECTED', 'STOPPED', 'INTERNAL_ERROR', 'UNAUTHORIZED']);

export const disconnected = (): ChatError => new ChatError('DISCONNECTED', 'The client was disconnected.');
