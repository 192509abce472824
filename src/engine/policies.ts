import type { StoragePolicy } from '../format/manifest.ts'
import { type ConfigProblem, configError } from './config-error.ts'
import type { StorageOptions } from './config.ts'
import { type StorageSurroundings, resolvePolicy } from './storage-policy.ts'

/** Policies kept for logs to share; those of an engine with more of them are made anew each time. */
const SHARED_MAX = 1_000

/** The policies of an engine's logs. Logs that ask for the same share one: there may be 100,000 of them. */
export class Policies {
  readonly #defaults: StorageOptions
  readonly #surroundings: StorageSurroundings
  readonly #shared = new Map<string, StoragePolicy>()

  constructor(defaults: StorageOptions, surroundings: StorageSurroundings) {
    this.#defaults = defaults
    this.#surroundings = surroundings
  }

  /**
   * For a log with that key column, or with none: as a default, to keep the latest counts where there is a key.
   * @throws StratalogError as `resolvePolicy`, and `config_invalid` where a log without a key is to keep the latest.
   */
  resolveFor(storage: StorageOptions, keyColumn: string | null): StoragePolicy {
    if (keyColumn !== null) return this.resolve(storage)
    if (storage.keep === 'latest') throw configError([keepProblem(storage.keep)])
    return this.resolve(this.#defaults.keep === 'latest' ? { ...storage, keep: 'all' } : storage)
  }

  /** @throws StratalogError as `resolvePolicy`. */
  resolve(storage: StorageOptions): StoragePolicy {
    // A key that is there without a value is not one that is left out.
    const key = JSON.stringify(Object.entries(storage))
    const shared = this.#shared.get(key)
    if (shared !== undefined) return shared
    const policy = Object.freeze(resolvePolicy(storage, this.#defaults, this.#surroundings))
    if (this.#shared.size < SHARED_MAX) this.#shared.set(key, policy)
    return policy
  }
}

/** Of a log without a key. */
export function keepProblem(given: StoragePolicy['keep']): ConfigProblem {
  return { path: 'storage.keep', given, allowed: `'all', because the log has no keyColumn` }
}
