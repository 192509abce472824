/**
 * Opens the object store that a URL names, with its decorators: metered, and where there is a
 * network, breaking and retrying.
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Metrics } from '../base/metrics.ts'
import type { Random } from '../base/random.ts'
import { parseArchiveUrl, type ArchiveUrl } from './archive-url.ts'
import { BreakingObjectStore, type CircuitStatus } from './breaking-object-store.ts'
import type { CircuitPolicy } from './circuit.ts'
import { DirectoryObjectStore } from './directory-object-store.ts'
import type { FileSystem } from './file-system.ts'
import { MemoryObjectStore } from './memory-object-store.ts'
import { MeteredObjectStore, type RequestCounts } from './metered-object-store.ts'
import type { ObjectStore } from './object-store.ts'
import { RetryingObjectStore, type RetryPolicy } from './retrying-object-store.ts'
import type { S3Limits } from './s3-limits.ts'
import type { S3ObjectStore } from './s3-object-store.ts'
import { resolveS3Connection, type Environment, type S3Settings } from './s3-settings.ts'

export interface OpenObjectStoreOptions {
  readonly s3?: S3Settings
  readonly fileSystem: FileSystem
  readonly clock: Clock
  readonly random: Random
  readonly metrics: Metrics
  readonly logger: Logger
  /** Environment variables; left out, none are looked at here. */
  readonly environment?: Environment
  readonly retryPolicy?: Partial<RetryPolicy>
  readonly circuitPolicy?: Partial<CircuitPolicy>
  readonly s3Limits?: Partial<S3Limits>
}

/** An object store that also says what it was asked for so far, and whether it is asked at all now. */
export type OpenedObjectStore = ObjectStore & {
  requests(): RequestCounts
  /** Null for a store without a network in between. */
  circuit(): CircuitStatus | null
}

/**
 * `memory://name` stores of this process: opening a name again finds what was there, as with any
 * other store.
 */
const memoryStores = new Map<string, MemoryObjectStore>()

/**
 * Does not ask the store anything yet; `probe` does.
 * @throws StratalogError `url_invalid`, `config_invalid`.
 */
export async function openObjectStore(
  url: string,
  options: OpenObjectStoreOptions,
): Promise<OpenedObjectStore> {
  const parsed = parseArchiveUrl(url)
  const bare = await openBare(parsed, { ...options, logger: options.logger.child('storage') })
  if (parsed.kind === 's3') return overNetwork(bare, options)
  return Object.assign(new MeteredObjectStore(bare, options.metrics), { circuit: () => null })
}

/** A store behind a network, with its decorators: metered, held back while it does not answer, and retried. */
export function overNetwork(
  bare: ObjectStore,
  options: Pick<
    OpenObjectStoreOptions,
    'clock' | 'random' | 'metrics' | 'logger' | 'retryPolicy' | 'circuitPolicy'
  >,
): OpenedObjectStore {
  const logger = options.logger.child('storage')
  const { clock, random, metrics, retryPolicy, circuitPolicy } = options
  const metered = new MeteredObjectStore(bare, metrics)
  const breaking = new BreakingObjectStore(metered, {
    clock,
    random,
    metrics,
    logger,
    ...(circuitPolicy === undefined ? {} : { policy: circuitPolicy }),
  })
  const retrying = new RetryingObjectStore(breaking, {
    clock,
    random,
    logger,
    ...(retryPolicy === undefined ? {} : { policy: retryPolicy }),
  })
  return Object.assign(retrying, {
    requests: (): RequestCounts => metered.requests(),
    circuit: (): CircuitStatus => breaking.circuit(),
  })
}

/**
 * Makes the bucket or directory that a URL names; one that is there is left as it is. For demos and
 * tests: the engine never makes a bucket, because a missing one is more often a typing error.
 */
export async function createBucketIfMissing(
  url: string,
  options: OpenObjectStoreOptions,
): Promise<void> {
  const parsed = parseArchiveUrl(url)
  if (parsed.kind === 'directory') await options.fileSystem.makeDirectory(parsed.path)
  if (parsed.kind !== 's3') return
  const store = await openS3(parsed, options)
  try {
    await store.createBucket()
  } finally {
    await store.close()
  }
}

async function openBare(parsed: ArchiveUrl, options: OpenObjectStoreOptions): Promise<ObjectStore> {
  const { fileSystem, random } = options
  switch (parsed.kind) {
    case 's3':
      return openS3(parsed, options)
    case 'directory':
      return new DirectoryObjectStore({ url: parsed.url, path: parsed.path, fileSystem, random })
    case 'memory':
      return openMemory(parsed.name, parsed.url, random)
  }
}

function openMemory(name: string, url: string, random: Random): MemoryObjectStore {
  const store = memoryStores.get(name) ?? new MemoryObjectStore({ url, random })
  memoryStores.set(name, store)
  return store
}

async function openS3(
  parsed: Extract<ArchiveUrl, { kind: 's3' }>,
  options: OpenObjectStoreOptions,
): Promise<S3ObjectStore> {
  const connection = resolveS3Connection(options.s3 ?? {}, options.environment ?? {})
  const module = await import('./s3-object-store.ts')
  const { clock, random, logger, s3Limits } = options
  return new module.S3ObjectStore({
    url: parsed.url,
    bucket: parsed.bucket,
    prefix: parsed.prefix,
    connection,
    clock,
    random,
    logger,
    ...(s3Limits === undefined ? {} : { limits: s3Limits }),
  })
}
