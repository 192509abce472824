/**
 * The check that a store may be written to and honours `ifAbsent`. Some S3-compatible stores accept
 * the condition and ignore it; two writers there would silently overwrite each other's manifests,
 * so such a store is refused before the first write.
 */
import { isStratalogError, StratalogError } from '../base/errors.ts'
import { randomHex, type Random } from '../base/random.ts'
import type { ObjectStore } from './object-store.ts'

/** What probes are put below; one that a crash left is nobody's. */
export const PROBE_PREFIX = 'probe/'

const FIRST = new TextEncoder().encode('first')
const SECOND = new TextEncoder().encode('second')

/**
 * Puts a probe object twice, reads it back, removes it. @throws `store_unsupported` and whatever
 * the store throws.
 */
export async function probeConditionalPut(
  store: Pick<ObjectStore, 'url' | 'put' | 'get' | 'remove'>,
  random: Random,
  signal: AbortSignal | undefined,
): Promise<void> {
  const key = `${PROBE_PREFIX}${randomHex(random, 16)}`
  const options = signal === undefined ? {} : { signal }
  await store.put(key, FIRST, { ...options, ifAbsent: true })
  try {
    const refused = await store.put(key, SECOND, { ...options, ifAbsent: true }).then(
      () => false,
      (error: unknown) => {
        if (isStratalogError(error) && error.code === 'object_exists') return true
        throw error
      },
    )
    const kept = await store.get(key, options)
    if (!refused || Buffer.compare(kept, FIRST) !== 0) throw conditionIgnored(store.url)
  } finally {
    await store.remove(key, options).catch(() => {})
  }
}

function conditionIgnored(url: string): StratalogError {
  return new StratalogError(
    'store_unsupported',
    `The object store ${url} ignores conditional writes (If-None-Match: *), so two writers could overwrite each other. It can be read, not written; docs/object-stores.md names stores that honour them.`,
    { details: { url } },
  )
}
