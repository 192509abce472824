/** A function that runs `start` at its first call; every call gets what that one returned. */
export function once<T>(start: () => T): () => T {
  let result: { readonly value: T } | null = null
  return () => (result ??= { value: start() }).value
}
