/** Subscribers of named events. A subscriber that throws disturbs neither the others nor the client. */
export class Emitter<Events> {
  private readonly listeners = new Map<keyof Events, Set<(value: never) => void>>();

  /** Calls `listener` at each `event`; returns the function that ends it. */
  on<K extends keyof Events>(event: K, listener: (value: Events[K]) => void): () => void {
    let set = this.listeners.get(event);
    if (!set) this.listeners.set(event, (set = new Set()));
    set.add(listener as (value: never) => void);
    return () => void set.delete(listener as (value: never) => void);
  }

  emit<K extends keyof Events>(event: K, value: Events[K]): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) {
      try {
        (listener as (value: Events[K]) => void)(value);
      } catch (error) {
        report(error);
      }
    }
  }

  clear(): void {
    this.listeners.clear();
  }
}

/** Shows an error of the application's own code where the platform shows uncaught errors, without unwinding the client. */
export function report(error: unknown): void {
  if (typeof queueMicrotask === 'function') {
    queueMicrotask(() => {
      throw error;
    });
  }
}
