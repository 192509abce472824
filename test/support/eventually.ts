import { vi } from 'vitest'

/** Waits until `check` throws no more; long, as a busy machine says nothing of what is tested. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 60_000 })
}
