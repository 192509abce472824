/**
 * Configuration: what may be given, with every problem reported at once by its path, what was given and what is
 * allowed. The same keys come from the API, a file and the command line.
 */
import * as v from 'valibot'
import { isStratalogError } from '../base/errors.ts'
import { LOG_LEVELS } from '../base/logger.ts'
import { type ByteSize, type Duration, tryParseBytes, tryParseDuration } from '../base/units.ts'
import { parseArchiveUrl, parseSnapshotLocation } from '../storage/archive-url.ts'
import { PRIORITY_MAX, PRIORITY_MIN } from '../format/limits.ts'
import type { AckLevel, EvictionPolicy, StorageMode } from '../format/manifest.ts'
import type { SegmentFormat } from '../format/segment.ts'
import type { QueryIsolation } from '../query/query-runner.ts'
import { type ConfigProblem, configError } from './config-error.ts'

/** A log's storage policy as the user writes it; what is left out takes its default. See docs/configuration.md. */
export interface StorageOptions {
  readonly mode?: StorageMode
  /** RAM copy is dropped this long after the append, once a lower copy is proven. Default `1h`. */
  readonly memoryTtl?: Duration
  /** A disk copy is made no later than this. Default: the smaller of `5m` and `memoryTtl`. */
  readonly diskAfter?: Duration
  /** An object copy is made no later than this; needs an archive. Default `15m` with one. */
  readonly archiveAfter?: Duration
  /** The disk copy is dropped after this, once an object copy is proven; needs an archive. Default `1d` with one. */
  readonly diskTtl?: Duration
  /** `false`: from memory straight to the archive. Default `true`. */
  readonly localDisk?: boolean
  /** A record is gone from every tier once it is this much older, by its own time, than now. Default: it stays. */
  readonly retention?: Duration
  /** Stored bytes of each partition; above, its oldest segments are gone from every tier. Default: they stay. */
  readonly retentionBytes?: ByteSize
  /** How segments are written. Default `arrow`. */
  readonly segmentFormat?: SegmentFormat
  /** Arrow segments become Parquet once their newest append is this old. Default: they stay. */
  readonly parquetAfter?: Duration
  /**
   * `latest`: of aged segments only the newest record of each key stays; needs a `keyColumn`, and as a default counts
   * for logs that have one. Default `all`.
   */
  readonly keep?: 'all' | 'latest'
  readonly ack?: AckLevel
  readonly wal?: boolean
  /** `false`: RAM holds only what is not on disk yet; `memoryTtl` and `diskAfter` are 0. Default `true`. */
  readonly memoryFirst?: boolean
  /** `false`: when RAM is full, nothing of the log is flushed before its time; appends wait. Default `true`. */
  readonly diskFallback?: boolean
  /** Mode `memory`: a record is gone this long after its append. Default: it stays until it is evicted. */
  readonly ttl?: Duration
  /** Mode `memory`, under `priority`: a whole number from −1000 to 1000; higher ones stay longer. Default 0. */
  readonly priority?: number
  /** Mode `memory`: what the log's batches may take of RAM. Default: the engine's budget alone counts. */
  readonly maxMemoryBytes?: ByteSize
  /** Mode `memory`: reclaiming starts at this fraction of that budget. Default: the engine's. */
  readonly evictionWatermark?: number
  /** Mode `memory`: what gives way when RAM is full. Default: the engine's. */
  readonly evictionPolicy?: EvictionPolicy
}

export interface S3Options {
  readonly endpoint?: string
  readonly region?: string
  readonly forcePathStyle?: boolean
  readonly credentials?: {
    readonly accessKeyId: string
    readonly secretAccessKey: string
    readonly sessionToken?: string
  }
}

export interface StratalogOptions {
  /** Where the WAL, segments and the local manifest live. Without it the engine is in RAM only. */
  readonly dataDir?: string
  /** `s3://bucket/prefix` or `file:///path`. */
  readonly archive?: string
  readonly s3?: S3Options
  /** The budget for record batches. Default: half of what the process may use. */
  readonly maxMemoryBytes?: ByteSize
  /** What the WAL keeps before the logs that pin its oldest files are flushed, however idle. Default `1GB`. */
  readonly walBytesMax?: ByteSize
  /**
   * The budget for segment files on disk; above the watermark they go to the archive and leave the disk before their
   * time. Default: none.
   */
  readonly maxDiskBytes?: ByteSize
  /** What goes to the archive in a second, all logs together. Default: as fast as it goes. */
  readonly maxUploadBytesPerSecond?: ByteSize
  /** Partitions that are flushed to disk at the same time. Default 2. */
  readonly maxFlushes?: number
  /** Partitions whose segments move to or from the archive at the same time. Default 4. */
  readonly maxUploads?: number
  /** Disk that what was fetched of archived segments may take. Default `5GB`. */
  readonly maxCacheBytes?: ByteSize
  /** How long a newer writer of the archive may go unnoticed at most. Default `30s`. */
  readonly fenceCheckInterval?: Duration
  /** Every byte of every copy on disk and in the archive is checked within this time; 0: never. Default `7d`. */
  readonly scrubInterval?: Duration
  /** What is read for it at most. Default `8MB`. */
  readonly scrubBytesPerSecond?: ByteSize
  /** Start reclaiming at this fraction of the budgets of RAM and disk. Default 0.9. */
  readonly evictionWatermark?: number
  readonly evictionPolicy?: EvictionPolicy
  /**
   * Where snapshots lie, and logs in RAM come back from when the engine is opened: a directory, `file:///path` or
   * `s3://bucket/prefix`. Default: in the archive, where there is one.
   */
  readonly snapshotLocation?: string
  /** Whether logs in RAM come back from there. Default `true`. */
  readonly restoreOnOpen?: boolean
  /** A snapshot of all logs is made this often; needs a place for it. Default: none by itself. */
  readonly snapshotInterval?: Duration
  /** A snapshot of all logs is made at closing; needs a place for it. Default `false`. */
  readonly snapshotOnClose?: boolean
  /** How many of the snapshots that the engine makes by itself are kept. Default: all. */
  readonly snapshotKeep?: number
  /** How old such a snapshot gets; the newest stays. Default: they stay. */
  readonly snapshotMaxAge?: Duration
  /**
   * Where SQL runs: in a thread of this process, which trusts who writes it, or in a process for each query that runs,
   * with limits, so that one that crashes or swallows memory costs that query alone. Default `thread`.
   */
  readonly queryIsolation?: QueryIsolation
  /** The storage policy of logs that do not say otherwise. */
  readonly defaults?: StorageOptions
  readonly logLevel?: (typeof LOG_LEVELS)[number]
}

/** Keys of a policy that change; null brings one back to its default. */
export type StorageChanges = {
  readonly [Key in keyof StorageOptions]?: StorageOptions[Key] | null
}

/** Each takes the memory of a segment. */
const PARALLEL_MAX = 64

const duration = v.custom<Duration>(
  (value) => tryParseDuration(value) !== null,
  "a duration: ms as a number, or text like '90s', '1h', '7d'",
)
const positiveDuration = v.custom<Duration>(
  (value) => (tryParseDuration(value) ?? 0) > 0,
  "a duration above 0: ms as a number, or text like '90s', '1h', '7d'",
)
const positiveByteSize = v.custom<ByteSize>(
  (value) => (tryParseBytes(value) ?? 0) > 0,
  "a size above 0: bytes as a number, or text like '64MB', '4GB'",
)
const priority = v.custom<number>(
  (value) => Number.isInteger(value) && Math.abs(value as number) <= PRIORITY_MAX,
  `a whole number from ${PRIORITY_MIN} to ${PRIORITY_MAX}`,
)
const count = v.custom<number>(
  (value) => Number.isSafeInteger(value) && (value as number) > 0,
  'a whole number above 0',
)
const fraction = v.custom<number>(
  (value) => typeof value === 'number' && value > 0 && value <= 1,
  'a number above 0 and at most 1',
)
const parallel = v.custom<number>(
  (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= PARALLEL_MAX,
  `a whole number from 1 to ${PARALLEL_MAX}`,
)
const text = v.pipe(v.string('text'), v.nonEmpty('text that is not empty'))
const flag = v.boolean('true or false')

function oneOf<const Options extends readonly string[]>(
  options: Options,
): v.PicklistSchema<Options, string> {
  return v.picklist(options, options.map((option) => `'${option}'`).join(', '))
}

const evictionPolicy = oneOf(['fifo', 'lru', 'ttl', 'priority', 'reject'])

const storageEntries = {
  mode: v.optional(oneOf(['memory', 'persistent', 'hybrid'])),
  memoryTtl: v.optional(duration),
  diskAfter: v.optional(duration),
  archiveAfter: v.optional(duration),
  diskTtl: v.optional(duration),
  localDisk: v.optional(flag),
  retention: v.optional(positiveDuration),
  retentionBytes: v.optional(positiveByteSize),
  segmentFormat: v.optional(oneOf(['arrow', 'parquet'])),
  parquetAfter: v.optional(duration),
  keep: v.optional(oneOf(['all', 'latest'])),
  ack: v.optional(oneOf(['memory', 'disk', 'object'])),
  wal: v.optional(flag),
  memoryFirst: v.optional(flag),
  diskFallback: v.optional(flag),
  ttl: v.optional(positiveDuration),
  priority: v.optional(priority),
  maxMemoryBytes: v.optional(positiveByteSize),
  evictionWatermark: v.optional(fraction),
  evictionPolicy: v.optional(evictionPolicy),
}
const storageSchema = v.strictObject(storageEntries)

const changesSchema = v.strictObject({ storage: v.strictObject(nullable(storageEntries)) })

/** Each of the entries may also be null. */
function nullable(entries: Record<string, v.GenericSchema>): Record<string, v.GenericSchema> {
  return Object.fromEntries(
    Object.entries(entries).map(([key, schema]) => [key, v.optional(v.nullable(schema))]),
  )
}

const s3Entries = {
  endpoint: v.optional(text),
  region: v.optional(text),
  forcePathStyle: v.optional(flag),
  credentials: v.optional(
    v.strictObject({ accessKeyId: text, secretAccessKey: text, sessionToken: v.optional(text) }),
  ),
}

const engineEntries = {
  dataDir: v.optional(text),
  archive: v.optional(text),
  s3: v.optional(v.strictObject(s3Entries)),
  maxMemoryBytes: v.optional(positiveByteSize),
  walBytesMax: v.optional(positiveByteSize),
  maxDiskBytes: v.optional(positiveByteSize),
  maxUploadBytesPerSecond: v.optional(positiveByteSize),
  maxFlushes: v.optional(parallel),
  maxUploads: v.optional(parallel),
  maxCacheBytes: v.optional(positiveByteSize),
  fenceCheckInterval: v.optional(positiveDuration),
  scrubInterval: v.optional(duration),
  scrubBytesPerSecond: v.optional(positiveByteSize),
  evictionWatermark: v.optional(fraction),
  evictionPolicy: v.optional(evictionPolicy),
  snapshotLocation: v.optional(text),
  restoreOnOpen: v.optional(flag),
  snapshotInterval: v.optional(positiveDuration),
  snapshotOnClose: v.optional(flag),
  snapshotKeep: v.optional(count),
  snapshotMaxAge: v.optional(positiveDuration),
  queryIsolation: v.optional(oneOf(['thread', 'process'])),
  defaults: v.optional(storageSchema),
  logLevel: v.optional(oneOf(LOG_LEVELS)),
}
const engineSchema = v.strictObject(engineEntries)

/** The keys of each object, for messages about unknown ones. */
const KNOWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(engineEntries),
  s3: Object.keys(s3Entries),
  's3.credentials': ['accessKeyId', 'secretAccessKey', 'sessionToken'],
  defaults: Object.keys(storageEntries),
  storage: Object.keys(storageEntries),
}

/** @throws StratalogError `config_invalid` with every problem. */
export function validateOptions(options: unknown): StratalogOptions {
  const problems = optionProblems(options)
  if (problems.length > 0) throw configError(problems)
  return options as StratalogOptions
}

/** Every problem of a key by itself. */
export function optionProblems(options: unknown): readonly ConfigProblem[] {
  const problems = problemsOf(engineSchema, options, '')
  if (typeof options !== 'object' || options === null) return problems
  const { archive, snapshotLocation } = options as Readonly<Record<string, unknown>>
  const given = (value: unknown): value is string => typeof value === 'string' && value !== ''
  return [
    ...problems,
    ...(given(archive) ? urlProblems('archive', archive, parseArchiveUrl) : []),
    ...(given(snapshotLocation)
      ? urlProblems('snapshotLocation', snapshotLocation, parseSnapshotLocation)
      : []),
  ]
}

function urlProblems(
  path: string,
  url: string,
  parse: (text: string) => unknown,
): readonly ConfigProblem[] {
  try {
    parse(url)
    return []
  } catch (error) {
    if (!isStratalogError(error)) throw error
    const { given, reason } = error.details
    // As the error shows it: without a password that someone put in it.
    return [{ path, given, allowed: `s3://bucket/prefix or file:///path: ${String(reason)}` }]
  }
}

/** The options without the keys that the problems are about, so that the rest can be judged together. */
export function withoutProblems(
  options: unknown,
  problems: readonly ConfigProblem[],
): StratalogOptions {
  if (typeof options !== 'object' || options === null) return {}
  const isSound = (path: string): boolean =>
    !problems.some((problem) => problem.path === path || problem.path.startsWith(`${path}.`))
  const sound = (value: object, base: string): object =>
    Object.fromEntries(
      Object.entries(value).flatMap(([key, entry]: [string, unknown]) => {
        const path = `${base}${key}`
        if (isSound(path)) return [[key, entry]]
        const isPartlySound =
          typeof entry === 'object' && entry !== null && !problems.some((it) => it.path === path)
        return isPartlySound ? [[key, sound(entry, `${path}.`)]] : []
      }),
    )
  return sound(options, '')
}

/** @throws StratalogError `config_invalid` with every problem of a key by itself. */
export function validateStorage(storage: unknown, path: string): StorageOptions {
  const problems = problemsOf(storageSchema, storage, path)
  if (problems.length > 0) throw configError(problems)
  return storage as StorageOptions
}

/**
 * The keys of a policy that change; null brings one back to its default. @throws StratalogError `config_invalid` with
 * every problem of a key by itself, and for a change of nothing.
 */
export function validateChanges(options: unknown): StorageChanges {
  const problems = problemsOf(changesSchema, options, '')
  if (problems.length > 0) throw configError(problems)
  const { storage } = options as { readonly storage: StorageChanges }
  if (Object.values(storage).every((value) => value === undefined))
    throw configError([{ path: 'storage', given: storage, allowed: 'at least one key to change' }])
  return storage
}

function problemsOf(
  schema: v.GenericSchema,
  value: unknown,
  base: string,
): readonly ConfigProblem[] {
  const result = v.safeParse(schema, value)
  if (result.success) return []
  return result.issues.map((issue) => {
    const own = (issue.path ?? []).map((item) => String(item.key)).join('.')
    const path = [base, own].filter((part) => part !== '').join('.') || '(options)'
    if (issue.type === 'strict_object' && issue.expected === 'never') {
      const parent = path.includes('.') ? path.slice(0, path.lastIndexOf('.')) : ''
      // The issue is about the key; what was given is its value.
      const given = issue.path?.at(-1)?.value
      return { path, given, allowed: `no such key; ${knownKeys(parent)}` }
    }
    return {
      path,
      given: issue.input,
      allowed: issue.type === 'strict_object' ? 'an object' : issue.message,
    }
  })
}

function knownKeys(parent: string): string {
  const keys = KNOWN_KEYS[parent] ?? KNOWN_KEYS['storage'] ?? []
  return `the keys are ${keys.join(', ')}`
}
