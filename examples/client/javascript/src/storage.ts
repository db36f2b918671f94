/**
 * Storage in which messages that wait to be sent survive a reload. Keys are texts of this client; values are JSON texts.
 * Any method may fail: the client then keeps what it has in memory and reports the failure.
 */
export interface StorageAdapter {
  /** Every key that begins with `prefix`, with its value. */
  entries(prefix: string): Promise<[key: string, value: string][]>;
  set(key: string, value: string): Promise<void>;
  remove(key: string): Promise<void>;
}

/** Keeps everything in memory: nothing survives a reload. */
export function memoryStorage(): StorageAdapter {
  const map = new Map<string, string>();
  return {
    entries: async (prefix) => [...map].filter(([key]) => key.startsWith(prefix)),
    set: async (key, value) => void map.set(key, value),
    remove: async (key) => void map.delete(key),
  };
}

/** Keeps it in the Web Storage of a browser, `localStorage` unless another one is given. */
export function webStorage(storage: Storage = globalThis.localStorage): StorageAdapter {
  return {
    entries: async (prefix) => {
      const found: [string, string][] = [];
      for (let index = 0; index < storage.length; index++) {
        const key = storage.key(index);
        const value = key?.startsWith(prefix) ? storage.getItem(key) : null;
        if (key && value !== null) found.push([key, value]);
      }
      return found;
    },
    set: async (key, value) => storage.setItem(key, value),
    remove: async (key) => storage.removeItem(key),
  };
}

/** `localStorage` if the page may use it, else memory. */
export function defaultStorage(): StorageAdapter {
  try {
    return globalThis.localStorage ? webStorage(globalThis.localStorage) : memoryStorage();
  } catch {
    return memoryStorage();
  }
}
