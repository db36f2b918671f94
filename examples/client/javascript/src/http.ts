import { ChatError, type FieldFault } from './errors';
import type { TokenSource } from './tokens';
import { abortable, backoff, sleep } from './timing';

type Query = Record<string, string | number | boolean | undefined>;

export interface RestRequest {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  query?: Query;
  /** Sent as JSON; a `Blob` as it is, with its type. */
  body?: unknown;
  /** Whether repeating the request after an unknown outcome is harmless. Reads, `PUT` and `DELETE` always are. */
  isRepeatable?: boolean;
}

const MAX_TRIES = 6;

/** The REST API with the user's token: renews a refused token once, and repeats what may be repeated. */
export class Rest {
  constructor(
    private readonly baseUrl: string,
    private readonly tokens: TokenSource,
    private readonly fetcher: typeof fetch,
    private readonly signal: AbortSignal,
  ) {}

  async call<T>(path: string, request: RestRequest = {}): Promise<T> {
    const method = request.method ?? 'GET';
    const isRepeatable = request.isRepeatable ?? (method !== 'POST' && method !== 'PATCH');
    let refused = false;
    for (let tries = 0; ; tries++) {
      const token = await this.tokens.get();
      let failure: ChatError;
      try {
        return await this.once<T>(method, path, request, token);
      } catch (error) {
        if (this.signal.aborted) throw this.signal.reason;
        failure = error instanceof ChatError ? error : new ChatError('NETWORK', 'The service could not be reached.', { cause: error });
      }
      if (failure.code === 'UNAUTHORIZED' && !refused) {
        refused = true;
        this.tokens.reject(token);
        continue;
      }
      // A refusal by a limit did nothing, so everything may be repeated after it.
      const mayRepeat = failure.code === 'RATE_LIMITED' || (isRepeatable && (failure.code === 'NETWORK' || failure.code === 'UNAVAILABLE'));
      if (!mayRepeat || tries + 1 >= MAX_TRIES) throw failure;
      await sleep(Math.max(failure.retryAfterMs ?? 0, backoff(tries, 500, 15_000)), this.signal);
    }
  }

  private async once<T>(method: string, path: string, { query, body }: RestRequest, token: string): Promise<T> {
    const url = new URL(this.baseUrl + path);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const headers: Record<string, string> = { Authorization: `Bearer ${token}` };
    const init: RequestInit = { method, headers, signal: this.signal };
    if (body instanceof Blob) init.body = body;
    else if (body !== undefined) {
      headers['Content-Type'] = 'application/json';
      init.body = JSON.stringify(body);
    }
    const response = await abortable(this.fetcher(url, init), this.signal);
    const text = await response.text();
    if (response.ok) return (text === '' ? undefined : JSON.parse(text)) as T;
    throw failureOf(response, text);
  }
}

function failureOf(response: Response, text: string): ChatError {
  let code = response.status >= 500 ? 'UNAVAILABLE' : 'NETWORK';
  let message = `The service answered with status ${response.status}.`;
  let details: FieldFault[] = [];
  try {
    const body = JSON.parse(text) as { code?: string; message?: string; details?: FieldFault[] };
    code = body.code ?? code;
    message = body.message ?? message;
    details = body.details ?? [];
  } catch {
    // Not the service's own answer; the status has to do.
  }
  const seconds = Number(response.headers.get('Retry-After'));
  const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
  return new ChatError(code, message, { status: response.status, details, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
}
